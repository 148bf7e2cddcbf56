#pragma once
/// What the programs of this folder start from: documents under a model and its quantized versions.

#include "bitlens/analysis/numbers.hpp"

namespace bitlens::paper {

/// Measures documents as the arguments say and hands the result to `show`; returns the program's exit code.
/// Without --model and --data: a tiny random model and made-up documents, the same on every machine.
/// `methods` are those of a program that is given no --methods.
int run(int argc, char** argv, const char* methods, void (*show)(finished_study const&));

} // namespace bitlens::paper
