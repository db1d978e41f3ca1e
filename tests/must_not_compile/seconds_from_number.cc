// error: conversion from 'double' to
#include "base/units.h"

// Which unit would it be?
const foretrain::Seconds wrong = 1.5;
