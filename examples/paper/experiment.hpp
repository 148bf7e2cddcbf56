#pragma once
/// What the programs of this folder start from: documents under a model and its quantized versions.

#include "measure.hpp"

#include "bitlens/analysis/location.hpp"
#include "bitlens/analysis/numbers.hpp"
#include "bitlens/analysis/size_study.hpp"

#include <span>
#include <string>
#include <vector>

namespace bitlens::paper {

/// What some programs can be told beside --model, --data, --methods, --tokens and --examples.
enum class own_option { none, text, before, first_position, runs };

/// Hands what the arguments ask for to `show`; returns the program's exit code. Without --model and --data: a tiny
/// random model and made-up documents, the same on every machine. `methods` are those of a program that is given no
/// --methods; nullptr: it compares none.
int run(int argc, char** argv, const char* methods, own_option, void (*show)(request const&));

/// The same for what needs no more than a study of the documents.
int run(int argc, char** argv, const char* methods, void (*show)(finished_study const&));

/// The same with finished runs of several models, which the arguments name; without any, of tiny models of several
/// sizes.
int run(int argc, char** argv, const char* methods, void (*show)(std::span<const named_study>));

/// The same with what `variants` of the methods left on D_large and D_ctrl of the first one, in the upper half.
int run(int argc, char** argv, const char* methods, location_request const& variants,
        void (*show)(finished_study const&, location const&));

/// What the paper finds of where errors arise, and what the run says to it: notes for below a table.
std::vector<std::string> location_notes(finished_study const&, location const&);

} // namespace bitlens::paper
