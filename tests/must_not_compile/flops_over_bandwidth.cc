// error: conversion from 'Quantity<
#include "base/units.h"

// Work over a memory bandwidth is not a time.
const foretrain::Seconds wrong = foretrain::TFLOP / foretrain::GB_per_s;
