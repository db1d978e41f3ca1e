// error: conversion from 'double' to
#include "base/units.h"

// Bytes over bytes is a ratio, not a time: the bandwidth was forgotten.
const foretrain::Seconds wrong = foretrain::GB / foretrain::MB;
