#pragma once
/// What the programs of this folder start from: documents under a model and its quantized versions.

#include "measure.hpp"

#include "bitlens/analysis/numbers.hpp"

namespace bitlens::paper {

/// What some programs can be told beside --model, --data, --methods, --tokens and --examples.
enum class own_option { none, text, before, first_position };

/// Hands what the arguments ask for to `show`; returns the program's exit code. Without --model and --data: a tiny
/// random model and made-up documents, the same on every machine. `methods` are those of a program that is given no
/// --methods; nullptr: it compares none.
int run(int argc, char** argv, const char* methods, own_option, void (*show)(request const&));

/// The same for what needs no more than a study of the documents.
int run(int argc, char** argv, const char* methods, void (*show)(finished_study const&));

} // namespace bitlens::paper
