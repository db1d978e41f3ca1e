// error: conversion from 'Quantity<
#include "base/units.h"

// A rate is not an amount.
const foretrain::Bytes wrong = 100 * foretrain::GB_per_s;
