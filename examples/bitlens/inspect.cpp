/// `bitlens inspect`: what a checkpoint is, and what would be refused and why.

#include "commands.hpp"
#include "config_lines.hpp"
#include "setting.hpp"

#include "bitlens/models/checkpoint.hpp"
#include "bitlens/report/visible_text.hpp"
#include "bitlens/sweep/memory_plan.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitlens::command {

namespace {

/// "2 layers, width 8, …": sizes of which a file said nothing are left out.
class size_list {
public:
    void add(std::size_t size, std::string const& before, std::string const& after) {
        if (size != 0) add(before + std::to_string(size) + after);
    }
    void add(std::string const& text) { text_ += (text_.empty() ? "" : ", ") + text; }
    void print(const char* label) const {
        if (!text_.empty()) std::printf("%s%s\n", label, text_.c_str());
    }

private:
    std::string text_;
};

void print_config(model_config const& c) {
    auto const& b = c.block;
    if (!c.architecture.empty()) std::printf("architecture  %s\n", visible_text(c.architecture).c_str());
    size_list sizes;
    sizes.add(c.layers, "", " layers");
    sizes.add(b.width, "width ", "");
    sizes.add(b.heads, "", " heads" + (b.head_dim != 0 ? " of " + std::to_string(b.head_dim) : ""));
    sizes.add(b.kv_heads, "", " key and value heads");
    sizes.add(b.ffn_width, "MLP ", "");
    sizes.add(c.vocabulary, "vocabulary ", "");
    if (c.tied_head) sizes.add("tied head");
    sizes.print("sizes         ");
    size_list numbers;
    const auto add = [&](double x, const char* before) {
        std::array<char, 32> digits{};
        std::snprintf(digits.data(), digits.size(), "%g", x);
        if (x != 0) numbers.add(before + std::string(digits.data()));
    };
    add(static_cast<double>(b.norm_eps), "norm epsilon ");
    numbers.add(c.context, "context ", "");
    numbers.print("              ");
}

/// One below the other, the first behind the label.
void print_lines(const char* label, std::vector<std::string> const& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i) std::printf("%-13s %s\n", i == 0 ? label : "", lines[i].c_str());
}

/// A tensor's name with a star for the number of its layer.
std::string without_layer(std::string name) {
    constexpr std::string_view before = "layers.";
    const auto at = name.find(before);
    if (at == std::string::npos) return name;
    const auto end = std::min(name.find('.', at + before.size()), name.size());
    return name.substr(0, at + before.size()) + '*' + name.substr(end);
}

/// One line for all layers whose tensors are alike, with their number.
void print_tensors(checkpoint const& source) {
    std::uint64_t bytes = 0, numbers = 0;
    std::map<std::array<std::string, 3>, std::size_t> alike; // name, type and shape → how many
    for (auto const& t : source.tensors()) {
        std::uint64_t count = 1;
        std::string shape;
        for (const std::size_t n : t.shape) {
            count *= n;
            shape += (shape.empty() ? "" : " x ") + std::to_string(n);
        }
        ++alike[{without_layer(t.name), t.type, shape}];
        bytes += t.bytes;
        numbers += count;
    }
    for (auto const& [tensor, count] : alike)
        std::printf("  %-48s %-6s %-14s %zu\n", tensor[0].c_str(), tensor[1].c_str(), tensor[2].c_str(), count);
    std::printf("in all        %zu tensors, %.1f million numbers, %s\n", source.tensors().size(),
                static_cast<double>(numbers) / 1e6, bytes_text(bytes).c_str());
}

/// What becomes of the matrices, those that are alike in a line: "210 of GPTQ 4-bit g64 as uniform4-g64".
void print_loaded(checkpoint const& source) {
    struct kind {
        std::size_t count = 0;
        std::uint64_t bytes = 0;
    };
    std::map<std::pair<std::string, std::string>, kind> kinds; // stored, loaded
    for (auto const& t : source.tensors()) {
        if (t.shape.size() != 2) continue;
        const loaded_form form = source.form_of<weight>(t.name);
        kind& k = kinds[{t.type, form.format}];
        ++k.count;
        k.bytes += form.bytes;
    }
    const char* label = "in memory";
    for (auto const& [types, k] : kinds) {
        std::printf("%-13s %zu %s of %s as %s, %s%s\n", label, k.count, k.count == 1 ? "matrix" : "matrices",
                    types.first.c_str(), types.second.c_str(), k.count == 1 ? "" : "in all ",
                    bytes_text(k.bytes).c_str());
        label = "";
    }
}

/// And where its ids and the rows of the model are not the same.
void print_tokenizer(tokenizer const& t, std::size_t vocabulary) {
    std::printf("tokenizer     %s\n", t.description().c_str());
    const std::size_t with_row = t.tokens_below(vocabulary);
    if (with_row < vocabulary)
        std::printf("              of the %zu ids of the model %zu have no token\n", vocabulary, vocabulary - with_row);
    if (with_row < t.token_count())
        std::printf("              %zu tokens are beyond the ids of the model; a text that has one is refused\n",
                    t.token_count() - with_row);
}

} // namespace

bool inspect(model_arguments const& a) {
    const checkpoint source = checkpoint::inspect(a.path, a.allowed_keys);
    if (!source.tensors().empty()) std::printf("format        %s\n", source.format_description().c_str());
    print_config(source.config());
    if (source.problems().empty())
        for (auto const& [label, text] : config_lines(source.config(), source.family()))
            std::printf("%-13s %s\n", label.c_str(), visible_line(text).c_str());
    if (!source.tensors().empty()) {
        std::printf("tensors\n");
        print_tensors(source);
        if (source.problems().empty()) print_loaded(source);
    }
    print_lines("files say", source.quantization_facts());
    if (source.problems().empty()) print_lines("concluded", conclusions_of(source));
    std::vector<std::string> refusals = source.problems();
    try {
        print_tokenizer(source.load_tokenizer(), source.config().vocabulary);
    } catch (error const& e) {
        refusals.push_back("tokenizer: " + std::string(e.what()) + "; a study of token ids needs none");
    }
    for (auto const& refusal : refusals) std::printf("refused       %s\n", visible_line(refusal).c_str());
    if (refusals.empty()) std::printf("refused       nothing\n");
    return refusals.empty();
}

} // namespace bitlens::command
