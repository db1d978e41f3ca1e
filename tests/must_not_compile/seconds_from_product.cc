// error: conversion from 'Quantity<1,
#include "base/units.h"

// Bytes per second times seconds is a size, not a time.
const foretrain::Seconds wrong = foretrain::GB_per_s * foretrain::seconds;
