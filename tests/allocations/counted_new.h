// Counts what a program asks operator new for, from all of its threads. A program that links counted_new.cpp has these
// operators in place of the standard library's.
#pragma once

namespace flowsmith::core::testing {

void start_counting();
/// How often memory was asked for since start_counting().
int stop_counting();

}  // namespace flowsmith::core::testing
