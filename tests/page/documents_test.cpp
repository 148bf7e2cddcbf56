#include "bitlens/page/document_part.hpp"
#include "bitlens/page/lost_tokens.hpp"
#include "bitlens/page/method_choice.hpp"
#include "bitlens/page/run_facts.hpp"
#include "bitlens/page/tables.hpp"
#include "bitlens/page/worst_documents.hpp"

#include "run_for_test.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

using namespace bitlens;

namespace {

/// Errors i·slope of document i under each method v, falling with v.
run_results rising_run(std::size_t documents, std::vector<std::string> const& methods) {
    return test::made_up_run(
        documents, methods,
        [](std::size_t i, std::size_t v) { return static_cast<double>(i) * (v == 0 ? 0.5 : -0.25); },
        [](std::size_t i) { return static_cast<double>(i); });
}

std::vector<float>& scores(run_results& run, std::string const& name) {
    for (stored_column& s : run.table.columns())
        if (s.declared.shape == column_shape::position && s.name == name) return s.scores;
    throw error(name);
}

/// In which every token is its own text.
void give_texts(run_results& run) {
    run.texts = token_texts(ids_of(run.documents, run.table),
                            [](std::int32_t id) { return " w" + std::to_string(id) + (id % 7 == 3 ? "\n" : ""); });
}

} // namespace

TEST_CASE("facts of a run: what its manifest says, and nothing where it is silent or of another kind") {
    const finished_study golden = make_study(read_run(test::golden_run()));
    const run_facts facts = facts_of(golden);
    CHECK(facts.title() == "<model>.gguf · rtn3-g64, nf3-g64, mine (rtn4-g64) · 40 documents of 24 tokens");
    CHECK(facts.kind == "llama, 6 layers");

    run_results run = rising_run(1, {"a"});
    json& setting = run.manifest.setting;
    setting["data"] = {{"name", "b\n.jsonl"}, {"bytes", 3}};
    setting["model"] = {
        {"files", {{{"name", "config.json"}}, {{"name", "m-1.safetensors"}}, {{"name", "m-2.safetensors"}}}}};
    CHECK(facts_of(make_study(std::move(run))).title() ==
          "m-1.safetensors and 1 more file · b\\x0a.jsonl · a · 1 document of 3 tokens");

    for (json const& odd : {json(), json(3), json::array({1}), json({{"name", {{"name", 1}}}}), json({{"files", 7}}),
                            json({{"files", {1, "x", json::object()}}})}) {
        run_results other = rising_run(2, {});
        other.manifest.setting["model"] = other.manifest.setting["data"] = odd;
        CHECK(facts_of(make_study(std::move(other))).title() == "2 documents of 3 tokens");
    }
}

TEST_CASE("first words: white space squeezed, a common first token left out, cut between words") {
    run_results run = rising_run(2, {});
    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t id) -> std::string {
        constexpr const char* texts[] = {"<start>", " \n\t The\u00A0\u3000cat", "\u202Esat \xFF", "ab"};
        return texts[std::min(id, 3)];
    });
    CHECK(first_words(run, 0, 0) == "<start> The cat[U+202E]sat �");
    CHECK(first_words(run, 0, 1) == "The cat[U+202E]sat �");
    CHECK(first_words(run, 0, 1, 5) == "The…");
    CHECK_FALSE(have_common_start(run.documents));
    run.documents.ids(1, 0) = run.documents.ids(0, 0);
    CHECK(have_common_start(run.documents));
    CHECK_FALSE(have_common_start(run.documents.first(1)));

    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t) { return std::string(40, 'e') + "é"; });
    CHECK(first_words(run, 0, 0, 41) == std::string(40, 'e') + "…"); // never half of a character
}

TEST_CASE("tokens and what is before them show their white space, and begin with a whole character") {
    CHECK(token_words(" the") == "␣the");
    CHECK(token_words(" ") == "␣");
    CHECK(token_words("a \n") == "a ↵");
    run_results run = rising_run(1, {});
    run.texts = token_texts(ids_of(run.documents, run.table), [](std::int32_t id) -> std::string {
        return id == 0 ? "caf\xC3" : id == 1 ? "\xA9 b\n" : "c";
    });
    CHECK(words_before(run, 0, 2) == "café b↵");
    CHECK(words_before(run, 0, 2, 1) == "… b↵");
    CHECK(words_before(run, 0, 0).empty());
}

TEST_CASE("the documents of a page: the worst of each method, and ordinary ones") {
    const finished_study s = make_study(rising_run(40, {"a", "b"}));
    const shown_documents shown = choose_documents(s);
    REQUIRE(shown.worst.size() == 2);
    CHECK(shown.worst[0] == std::vector<std::size_t>{39, 38, 37, 36, 35, 34, 33, 32, 31, 30});
    CHECK(shown.worst[1] == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(shown.texts.size() == 20);
    CHECK(shown.ordinary == std::vector<std::size_t>{19, 20, 18, 21, 17});

    run_results copies = rising_run(20, {"a"});
    for (std::size_t t = 0; t < copies.documents.ids.longest(); ++t)
        copies.documents.ids(18, t) = copies.documents.ids(19, t);
    const auto distinct = choose_documents(make_study(std::move(copies)));
    CHECK(distinct.worst[0][0] == 19);
    CHECK(distinct.worst[0][1] == 17);
}

TEST_CASE("ten worst documents: errors and ranks, percentiles, and only columns that there are") {
    run_results run = rising_run(40, {"a", "b"});
    run.documents.topics[39] = "<topic>";
    for (stored_column& s : run.table.columns())
        if (s.declared.name == "bits_per_byte") std::ranges::fill(s.numbers, undefined_number);
    give_texts(run);
    const finished_study s = make_study(std::move(run));
    const documents_page page(s);
    const std::string html = worst_documents_html(page);
    const auto row = html.substr(html.find("<tr><td"), html.find("</tr>", html.find("<tr><td")) - html.find("<tr><td"));
    CHECK(row.find("<a href=\"#document-39\"><bdi>w117") != std::string::npos);
    CHECK(row.find("document 39 · <bdi>&lt;topic&gt;</bdi>") != std::string::npos);
    CHECK(row.find("data-label=\"a\"><b>19.500</b><small>no. 1</small>") != std::string::npos);
    CHECK(row.find("data-label=\"b\">−9.750<small>no. 40</small>") != std::string::npos);
    CHECK(row.find("data-label=\"norm_r, last layer, percentile\"><b>99</b>") != std::string::npos); // (40 − ½) / 40
    CHECK(row.find("data-label=\"loss, percentile\">50<") != std::string::npos);                     // all the same
    CHECK(row.find("data-label=\"the runs part from layer\">0<") != std::string::npos);
    CHECK(html.find("bits per byte") == std::string::npos);
    CHECK(html.find("<input type=\"radio\" name=\"worst\" id=\"worst-0\" data-method=\"0\" checked>") !=
          std::string::npos);
    CHECK(html.find("runs part from layer\">–<") != std::string::npos);
}

TEST_CASE("the list of all documents: worst first, without columns that would be empty") {
    run_results run = rising_run(3, {"a"});
    const auto keys = [](table const& t) {
        std::vector<std::string> all;
        for (auto const& c : t.columns) all.push_back(c.key);
        return all;
    };
    CHECK(keys(documents_table(make_study(rising_run(3, {"a"})))) ==
          std::vector<std::string>{"example", "words", "error_a", "nll_full"});
    run.documents.topics[1] = "t";
    run.documents.names[2] = "n";
    const table t = documents_table(make_study(std::move(run)));
    CHECK(keys(t) == std::vector<std::string>{"example", "words", "error_a", "nll_full", "topic", "id"});
    std::vector<std::uint64_t> order;
    for (auto const& row : t.rows) order.push_back(std::get<std::uint64_t>(row[0].value));
    CHECK(order == std::vector<std::uint64_t>{2, 1, 0});
}

TEST_CASE("the tokens that lose most: over all documents, few of each, infinite losses first") {
    run_results run = rising_run(4, {"a"});
    give_texts(run);
    auto& full = scores(run, "nll_full");
    auto& after = scores(run, "nll_a");
    full = {1, 1, 1, 1, 1, 1, 1, 1};
    after = {2, 6, 9, 8, 1, std::numeric_limits<float>::infinity(), 0, 7};
    const token_numbers numbers(run.table);
    const auto places = [](std::vector<lost_token> const& tokens) {
        std::vector<std::pair<std::size_t, std::size_t>> all;
        for (auto const& t : tokens) all.emplace_back(t.row, t.position);
        return all;
    };
    using list = std::vector<std::pair<std::size_t, std::size_t>>;
    CHECK(places(lost_tokens_of_run(numbers, 1, 4, 2)) == list{{2, 1}, {1, 0}, {1, 1}, {3, 1}});
    CHECK(places(lost_tokens_of_run(numbers, 1, 4, 1)) == list{{2, 1}, {1, 0}, {3, 1}, {0, 1}});
    CHECK(places(lost_tokens(numbers, 1, 0, 5)) == list{{0, 1}, {0, 0}});
    CHECK(lost_tokens(numbers, 0, 0, 5).empty()); // the full model loses nothing

    const table t = lost_tokens_table(run, numbers, 1, lost_tokens_of_run(numbers, 1, 2, 1));
    CHECK(t.title == "The tokens that lose most under a");
    REQUIRE(t.rows.size() == 2);
    CHECK(shown(t.rows[0][4], 2) == "not defined");
    CHECK(shown(t.rows[1][0], 0) == "1");
    CHECK(shown(t.rows[1][1], 0) == " w3↵"); // id 3 stands before id 4
    CHECK(shown(t.rows[1][2], 0) == "␣w4");
    CHECK(shown(t.rows[1][3], 2) == "1.00");
    CHECK(shown(t.rows[1][4], 2) == "9.00");
    CHECK(shown(t.rows[1][5], 0) == "␣w0"); // likeliest of all in this run
}

TEST_CASE("a document's part says what is known of it under the method that breaks it most") {
    run_results run = rising_run(30, {"a", "b"});
    give_texts(run);
    const finished_study s = make_study(std::move(run));
    documents_page page(s);
    CHECK(page.worst_method(29) == 0);
    CHECK(page.worst_method(0) == 1);
    const std::string part = document_part(page, 2, false);
    CHECK(part.starts_with("<details class=\"document\"><summary>Document 2 · <bdi>w6 w7 w8</bdi></summary>\n"
                           "<div id=\"document-2\">"));
    CHECK(part.find("number 3 by the error of b, −0.500 nats per token") != std::string::npos);
    CHECK(part.find("Where the runs part under b") != std::string::npos);
    CHECK(part.find("The tokens that lose most under b") != std::string::npos);
    CHECK(part.find("<td class=\"name\"><bdi>␣w7</bdi></td>") != std::string::npos);
    const chart profile = profile_chart(page, 0, 2);
    REQUIRE(profile.series.size() == 2);
    CHECK(*profile.series[0].points[1].y == 2.0); // document 2
    auto const& middle = profile.series[1].points[1];
    CHECK(*middle.y == 14.5); // the median of 0 … 29
    CHECK(*middle.low == 7.25);
    CHECK(*middle.high == 21.75);
}

TEST_CASE("a choice among methods, of which one is checked, and no choice among one") {
    const std::vector<std::string> names{"a<", "b"}, parts{"A", "B"};
    const std::string html = method_choice("g", names, parts);
    CHECK(html.find("id=\"g-0\" data-method=\"0\" checked><label for=\"g-0\">a&lt;</label>") != std::string::npos);
    CHECK(html.find("<div class=\"of-1\">\nB</div>") != std::string::npos);
    CHECK(method_choice("g", std::span(names).first(1), std::span(parts).first(1)) == "A");
    CHECK(method_choice_style(2).find(".choice>input[data-method=\"1\"]:checked~.of-1{display:block}") !=
          std::string::npos);
}

TEST_CASE("percentiles near the ends keep what tells them apart") {
    CHECK(percentile_text(50.4) == "50");
    CHECK(percentile_text(99.5) == "99.5");
    CHECK(percentile_text(0.5) == "0.5");
    CHECK(percentile_text(99.995) == "> 99.9");
    CHECK(percentile_text(0.005) == "< 0.1");
}
