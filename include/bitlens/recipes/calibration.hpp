#pragma once
/// Calibration: from a file to the documents of token ids that a method looks at when it quantizes.

#include "bitlens/core/error.hpp"
#include "bitlens/core/random.hpp"
#include "bitlens/core/utf8.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/recipes/calibration_preset.hpp"
#include "bitlens/report/number_text.hpp"
#include "bitlens/sweep/document_rows.hpp"
#include "bitlens/sweep/manifest.hpp"
#include "bitlens/sweep/select_documents.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/near_duplicates.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/unicode.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens {

struct calibration_options {
    calibration_preset preset = gptq_calibration;
    std::optional<std::size_t> texts{};     // in place of the preset's number; of rows of ids too
    std::optional<std::size_t> tokens{};    // in all, at most: the text that reaches so many is cut, and the last
    std::optional<std::uint64_t> shuffle{}; // seed: the rows of the file in an order of our own; it is held in memory
    /// In all, fewer are refused. Less than the columns of a group of 128 say nothing of how they depend on each other.
    std::size_t fewest_tokens = 128;
};

/// What a model makes of text.
struct calibration_model {
    tokenizer const* text = nullptr;   // none only for rows of ids
    std::optional<std::int32_t> bos{}; // what each text begins with, as the tokenizer's first_token says
    std::size_t vocabulary = 0;        // rows of the embedding
    std::size_t context = 0;           // positions it was trained on; 0: not known
    std::size_t widest_input = 0;      // columns of the widest linear layer of a block; 0: not known
};

/// One text of a file, or one row of ids.
struct calibration_text {
    std::size_t row = 0; // among the documents of the file, from 0
    std::string name;    // its id in the file; empty when absent
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> cut_off{}; // what came after them: no method sees it, leave_out does
};

/// A text that was left out because a document of a study has much of it.
struct calibration_repeat {
    std::size_t row = 0, study_row = 0; // of their files
    std::string name, study_name;
    double share = 0; // of the distinct 5-grams of the smaller
};

/// The documents that a method is calibrated on, and what became of what was read.
struct calibration_set {
    std::vector<std::vector<std::int32_t>> documents; // what a walk runs, in this order; none is empty
    std::vector<calibration_text> texts;              // what they are made of
    std::size_t read = 0;                             // texts or rows looked at; of them:
    std::size_t empty = 0, shorter = 0, longer = 0;   // left out: of white space only, and by the preset
    std::size_t cut = 0;                              // of texts: to the preset's length, or to the tokens in all
    std::vector<calibration_repeat> in_study{};       // left out by leave_out

    std::filesystem::path file;
    json file_id;           // file_identity
    bool holds_ids = false; // rows of ids, which no preset touches
    calibration_options options;
    std::optional<std::int32_t> bos{}; // that texts begin with
    std::size_t most = 0, block = 0;   // the preset's, within the model's context
    std::vector<std::string> remarks{};

    std::size_t tokens() const noexcept {
        std::size_t sum = 0;
        for (auto const& d : documents) sum += d.size();
        return sum;
    }

    /// Of all ids: of each document its length, then its ids, as little-endian numbers of 4 bytes.
    std::string ids_sha256() const {
        sha256 hash;
        const auto update = [&](std::size_t number) {
            std::array<std::byte, 4> bytes;
            for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
            hash.update(bytes);
        };
        for (auto const& d : documents) {
            update(d.size());
            for (const std::int32_t id : d) update(static_cast<std::size_t>(id));
        }
        return hash.hex();
    }

    /// What stands for the set in a manifest: its ids, and the knobs that made them of a file, whatever that is called.
    json identity() const {
        json all{{"documents", documents.size()},
                 {"tokens", tokens()},
                 {"ids_sha256", ids_sha256()},
                 {"preset", holds_ids ? "rows of ids as they stand" : std::string(options.preset.name)}};
        if (!holds_ids) {
            all["longest"] = most;
            if (block > 0) all["block"] = block;
            all["bos"] = bos ? json(*bos) : json(nullptr);
        }
        if (const auto texts_at_most = most_texts()) all["most_texts"] = *texts_at_most;
        if (options.tokens) all["most_tokens"] = *options.tokens;
        if (options.shuffle) all["shuffle"] = *options.shuffle;
        return all;
    }

    /// Where it comes from, for people: another file may hold the same.
    json origin() const {
        json all{{"file", file_id}};
        if (!in_study.empty()) all["left_out_as_in_the_study"] = in_study.size();
        return all;
    }

    /// One line for people.
    std::string summary() const {
        std::string why;
        const auto add = [&why](std::size_t count, std::string const& what) {
            if (count > 0) why += (why.empty() ? "" : ", ") + std::to_string(count) + ' ' + what;
        };
        add(empty, "empty");
        add(shorter, "of fewer than " + std::to_string(options.preset.fewest) + " tokens");
        add(longer, "of more than " + std::to_string(most));
        add(in_study.size(), "in the study");
        const std::string rows = holds_ids ? "row" : "text";
        return counted(documents.size(), "document") + " of " + std::to_string(tokens()) + " tokens" +
               (block > 0 ? " (blocks of " + std::to_string(block) + ")" : "") + " from " +
               std::to_string(texts.size()) + " of " + counted(read, rows) + (why.empty() ? "" : "; left out: " + why) +
               (cut > 0 ? "; cut: " + std::to_string(cut) : "");
    }

    /// Texts asked for at most, by who asks or by the preset; none where all rows of ids are.
    std::optional<std::size_t> most_texts() const noexcept {
        return options.texts || holds_ids ? options.texts : options.preset.texts;
    }
};

namespace detail {

/// All that a reader still gives, in an order that the seed alone decides.
inline std::vector<document> shuffled(document_reader& reader, std::uint64_t seed) {
    std::vector<document> all;
    for (document d; reader.next(d);) all.push_back(std::move(d));
    random_generator random(seed);
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[static_cast<std::size_t>(random.below(i))]);
    return all;
}

/// Makes the documents of a set from its texts, and counts those that are cut.   Errors: option_error where there are
/// too few tokens.
inline void make_documents(calibration_set& s) {
    s.documents.clear();
    s.cut = 0;
    std::size_t in_texts = 0;
    for (auto const& t : s.texts) {
        in_texts += t.ids.size();
        s.cut += t.cut_off.empty() ? 0u : 1u;
    }
    if (s.block == 0) {
        for (auto const& t : s.texts) s.documents.push_back(t.ids);
    } else {
        std::vector<std::int32_t> joined;
        joined.reserve(in_texts);
        for (auto const& t : s.texts) joined.insert(joined.end(), t.ids.begin(), t.ids.end());
        for (std::size_t at = 0; at + s.block <= joined.size(); at += s.block)
            s.documents.emplace_back(joined.begin() + static_cast<std::ptrdiff_t>(at),
                                     joined.begin() + static_cast<std::ptrdiff_t>(at + s.block));
    }
    const std::size_t wanted = std::max<std::size_t>(
        {std::min(s.options.fewest_tokens, s.options.tokens.value_or(s.options.fewest_tokens)), s.block, 1});
    if (in_texts >= wanted) return;
    throw option_error(s.file.string() + ": " + std::to_string(in_texts) + " tokens to calibrate on, at least " +
                       std::to_string(wanted) + " are expected; " + s.summary());
}

} // namespace detail

/// The documents of a file that document_reader reads. Texts are encoded, with `bos` before each where there is one,
/// and become documents as the preset says; no document is longer than the model's context. A row of ids is a document,
/// taken as it stands, and the preset does not count.
/// Errors: those of document_reader and encode; option_error for a file without documents, for texts without a
/// tokenizer, for a number of 0, and for too few tokens, with what was left out and why; format_error naming the
/// document for an id outside the vocabulary.
inline calibration_set read_calibration(std::filesystem::path const& path, calibration_model const& model,
                                        calibration_options const& options = {}, document_keys const& keys = {}) {
    if (options.texts == 0u || options.tokens == 0u)
        throw option_error(std::string("calibration: ") + (options.texts == 0u ? "texts" : "tokens") +
                           ": at least 1 is expected, 0 was found");
    calibration_preset const& preset = options.preset;
    const std::size_t context = model.context > 0 ? model.context : std::numeric_limits<std::size_t>::max();
    calibration_set s;
    s.file = path;
    s.file_id = file_identity(path);
    s.options = options;
    document_reader reader(path, std::numeric_limits<std::size_t>::max(), keys);
    s.holds_ids = reader.holds_ids();
    if (!s.holds_ids) {
        if (model.text == nullptr)
            throw option_error(path.string() +
                               ": texts need the model's tokenizer, which there is none of; token ids as NPY do not");
        s.bos = model.bos;
        s.most = preset.cuts_longer ? std::min(preset.most, context) : preset.most;
        s.block = std::min(preset.block, context);
    }

    std::vector<document> in_other_order;
    if (options.shuffle) in_other_order = detail::shuffled(reader, *options.shuffle);
    auto next = [&, at = std::size_t{0}](document& d) mutable {
        if (!options.shuffle) return reader.next(d);
        if (at == in_other_order.size()) return false;
        d = std::move(in_other_order[at++]);
        return true;
    };
    std::size_t left = options.tokens.value_or(std::numeric_limits<std::size_t>::max());
    const std::size_t most_texts = s.most_texts().value_or(std::numeric_limits<std::size_t>::max());
    const auto wants_more = [&] {
        return left > 0 && (s.holds_ids || preset.counts_kept ? s.texts.size() : s.read) < most_texts;
    };
    for (document d; wants_more() && next(d);) {
        ++s.read;
        if (!s.holds_ids) {
            const std::string_view stripped = without_outer_space(d.text);
            if (stripped.empty()) {
                ++s.empty;
                continue;
            }
            d.ids = model.text->encode(preset.strips_space ? stripped : std::string_view(d.text));
            if (s.bos) d.ids.insert(d.ids.begin(), *s.bos);
            if (d.ids.size() < preset.fewest) {
                ++s.shorter;
                continue;
            }
            if (d.ids.size() > s.most && !preset.cuts_longer) {
                ++s.longer;
                continue;
            }
        }
        const std::size_t length = std::min({d.ids.size(), left, s.holds_ids ? left : s.most});
        std::vector<std::int32_t> cut_off(d.ids.begin() + static_cast<std::ptrdiff_t>(length), d.ids.end());
        d.ids.resize(length);
        if (s.holds_ids)
            check_ids(path, d.row, d.ids, model.vocabulary);
        else
            check_rows(detail::place_of(path, d), *model.text, d.ids, model.vocabulary);
        left -= length;
        s.texts.push_back({d.row, std::move(d.id), std::move(d.ids), std::move(cut_off)});
    }
    if (s.read == 0) throw option_error(path.string() + ": no document to calibrate on was found");
    if (const auto absent = reader.absent_keys(); !absent.empty())
        throw option_error(path.string() + ": none of the " + std::to_string(s.read) + " rows read has the key " +
                           in_quotes(absent[0]));
    detail::make_documents(s);
    if (wants_more())
        if (const auto most = s.most_texts())
            s.remarks.push_back("calibration on " + counted(s.texts.size(), "text") + ", where up to " +
                                std::to_string(*most) + " were to be taken: " + path.string() + " has no more");
    if (s.tokens() < model.widest_input)
        s.remarks.push_back("calibration on " + std::to_string(s.tokens()) + " tokens, fewer than the " +
                            std::to_string(model.widest_input) +
                            " inputs of the widest layer: how they depend on each other is known in part only");
    if (s.holds_ids && reader.ids_a_row() > context)
        s.remarks.push_back("calibration on rows of " + std::to_string(reader.ids_a_row()) +
                            " tokens: the model was trained on " + std::to_string(context) + " positions at most");
    return s;
}

/// The share of 5-grams above which two texts are one, see repeated_rows. Of 1000 texts of C4 none shares more than
/// 0.17 with any of 2000 web pages, and 99 % no more than 0.05.
inline constexpr double repeated_share = 0.2;

/// How many 5-grams that must be, where it is not all of the smaller text: a run of 20 tokens. Of short texts a common
/// phrase is more than repeated_share: of 11,607 pieces of 11 tokens of C4 it is in one of 1000 web pages for 165, and
/// none shares more than 6.
inline constexpr std::size_t repeated_ngrams = 16;

/// Leaves out the texts that a document of the study has more than repeated_share of, or that have so much of one, and
/// makes the documents again; `in_study` lists them. A method calibrated on what it is then measured on looks better
/// there than elsewhere. A text is judged whole, whatever a limit of tokens leaves of it: of a stub little can be told.
/// Tokens are compared without the one that texts begin with.   Errors: option_error where too few tokens are left.
inline void leave_out(calibration_set& s, document_rows const& study) {
    const auto content = [&s](std::span<const std::int32_t> ids) {
        return s.bos && !ids.empty() && ids[0] == *s.bos ? ids.subspan(1) : ids;
    };
    const auto whole = [](calibration_text const& t) {
        auto ids = t.ids;
        ids.insert(ids.end(), t.cut_off.begin(), t.cut_off.end());
        return ids;
    };
    std::vector<std::span<const std::int32_t>> rows;
    for (std::size_t n = 0; n < study.size(); ++n) rows.push_back(content(study.ids.row(n)));
    const repeated_rows known(rows);
    std::vector<calibration_text> others;
    for (auto& t : s.texts) {
        const auto ids = whole(t);
        const auto most = known.most_shared(content(ids), repeated_ngrams);
        if (!most || most->share <= repeated_share)
            others.push_back(std::move(t));
        else
            s.in_study.push_back(
                {t.row, study.rows[most->row], std::move(t.name), study.names[most->row], most->share});
    }
    if (others.size() == s.texts.size()) {
        s.texts = std::move(others);
        return;
    }
    s.texts = std::move(others);
    detail::make_documents(s);
}

} // namespace bitlens
