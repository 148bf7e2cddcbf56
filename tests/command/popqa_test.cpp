/// What `bitlens popqa` asks, marks and leaves, and studies of questions of several choices.

#include "shell.hpp"
#include "temporary_folder.hpp"
#include "tiny_model.hpp"

#include "bitlens/analysis/choices.hpp"
#include "bitlens/analysis/finished_questions.hpp"
#include "bitlens/formats/mixed_matrix.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/models/checkpoint.hpp"
#include "bitlens/models/generate.hpp"
#include "bitlens/models/score.hpp"
#include "bitlens/stats/moments.hpp"
#include "bitlens/sweep/run_results.hpp"
#include "bitlens/text/answer_marks.hpp"
#include "bitlens/text/few_shots.hpp"
#include "bitlens/text/question_set.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace bitlens;
using test::check, test::shell;
namespace fs = std::filesystem;

namespace {

using asked_weight = mixed_matrix<dense<float>>;
constexpr std::size_t shots = 2, tokens = 4;

struct popqa_setting {
    test::temporary_folder folder;
    fs::path model = folder / "model", data;

    popqa_setting() {
        test::write_tiny_model(model, 2, 4);
        std::string lines = "question\tpossible_answers\ts_pop\tprop\tid\n";
        const std::vector<std::string> relations{"capital", "author", "color", "religion"};
        for (std::size_t n = 0; n < 24; ++n) {
            const std::string number = std::to_string(n);
            // Every text that the tokenizer knows holds an e or an a sooner or later.
            lines += "What is " + number + "?\t[\"" +
                     (n % 3 == 0   ? "e"
                      : n % 3 == 1 ? "a"
                                   : "nothing") +
                     "\", \"cat\"]\t" + std::to_string(n * n * 10) + "\t" + relations[n % 4] + "\tq" + number + "\n";
        }
        data = folder.write("questions.tsv", lines);
    }
    std::string line(fs::path const& out, std::string const& methods, std::string const& more = "") const {
        return "bitlens popqa --model '" + model.string() + "' --data '" + data.string() + "' --out '" + out.string() +
               "' --methods " + methods + " --shots " + std::to_string(shots) + " --tokens " + std::to_string(tokens) +
               " --bucket-least 5 " + (more.find("--threads") == more.npos ? "--threads 1 " : "") + more;
    }
    void run(fs::path const& out, std::string const& methods, std::string const& more = "") const {
        check(line(out, methods, more), 0, {"report: "});
    }
};

popqa_setting const& asked() {
    static const popqa_setting s;
    return s;
}

void check_same_files(fs::path const& a, fs::path const& b) {
    for (const char* file :
         {"examples.csv", "tokens.npz", "manifest.json", "answers.jsonl", "report.html", "summary.json"}) {
        CAPTURE(file);
        CHECK(test::read_bytes(a / file) == test::read_bytes(b / file));
    }
}

} // namespace

TEST_CASE("every prompt has its shots, and every answer is what the library generates and marks") {
    const auto out = asked().folder / "plain";
    asked().run(out, "rtn3-g64", "--seeds 3,8");
    const auto q = make_questions(read_run(out));
    const auto set = read_questions(asked().data);
    REQUIRE(q.size() == set.size());
    CHECK(q.seeds == std::vector<std::uint64_t>{3, 8});
    CHECK(q.run.table.positions() == tokens);
    const tokenizer t = tokenizer::from_json(asked().model / "tokenizer.json");
    const transformer<llama, asked_weight> model(checkpoint(asked().model), true);
    const few_shots choose(set, shots);
    generation_end until{tokens, t.special_tokens(), {}, &t};
    until.is_complete = has_first_line;
    std::size_t right = 0;
    for (std::size_t k = 0; k < 2; ++k)
        for (std::size_t n = 0; n < set.size(); ++n) {
            const std::size_t row = q.row(k, n);
            const auto prompt = prompt_text(set, n, choose(q.seeds[k], n));
            const auto ids = t.encode_with_bos(prompt);
            CHECK(std::ranges::equal(q.run.documents.ids.row(row), ids));
            auto const made = generate(model, ids, until);
            const auto padded = q.variants[0].ids.row(row);
            CHECK(std::ranges::equal(padded.first(made.ids.size()), made.ids));
            CHECK(std::ranges::all_of(padded.subspan(made.ids.size()), [](std::int32_t id) { return id == -1; }));
            auto answer = made.ids;
            if (made.stopped == generation_stop::id) answer.pop_back();
            const std::string text = text_after(t, ids, answer);
            const bool contains = contains_answer(first_line(text), set[n].answers);
            CHECK(q.variants[0].contains[row] == (contains ? 1 : 0));
            CHECK(q.variants[0].exact[row] == (matches_answer(first_line(text), set[n].answers) ? 1 : 0));
            const double nll =
                std::accumulate(made.nll.begin(), made.nll.end(), 0.0) / static_cast<double>(made.nll.size());
            CHECK(std::abs(q.variants[0].nll[row] - nll) < 1e-4);
            right += contains ? 1u : 0u;
        }
    CHECK(right > 0);
    CHECK(right < 2 * set.size());

    const std::string lines = test::read_bytes(out / "answers.jsonl");
    CHECK(static_cast<std::size_t>(std::ranges::count(lines, '\n')) == 2 * set.size());
    const json first = parse_json(std::string_view(lines).substr(0, lines.find('\n')), "answers.jsonl");
    CHECK(first["prompt"] == prompt_text(set, 0, choose(3, 0)));
    CHECK(first["given"].contains("rtn3-g64"));
    const std::string page = test::read_bytes(out / "report.html");
    CHECK(page.find("figures/figure_05_17_degradation") != std::string::npos);

    const std::string before = test::read_bytes(out / "report.html");
    check("bitlens report '" + out.string() + "'", 0, {"report: "});
    CHECK(test::read_bytes(out / "report.html") == before);
}

TEST_CASE("methods that come later give what they would have given at once; what is cut otherwise is the same") {
    const auto step = asked().folder / "step", once = asked().folder / "once";
    asked().run(step, "rtn3-g64", "--seeds 1");
    asked().run(step, "rtn3-g64,nf4-g64", "--seeds 1 --at-once 3");
    asked().run(once, "rtn3-g64,nf4-g64", "--seeds 1 --at-once 1 --threads 2");
    check_same_files(step, once);
    check(asked().line(step, "rtn3-g64", "--seeds 2"), 2, {"holds another run: seeds"});
}

TEST_CASE("some of the questions are drawn, the same for all seeds; other names of keys and JSON Lines") {
    const auto some = asked().folder / "some";
    asked().run(some, "rtn3-g64", "--seeds 1,2 --questions 7 --seed 5");
    const auto q = make_questions(read_run(some));
    CHECK(q.size() == 7);
    const auto set = read_questions(asked().data);
    std::string lines;
    for (auto const& each : set)
        lines += json{{"q", each.text}, {"a", each.answers}, {"views", each.popularity_written}, {"r", each.relation}}
                     .dump() +
                 "\n";
    const auto path = asked().folder.write("questions.jsonl", lines);
    const auto other = asked().folder / "other";
    check("bitlens popqa --model '" + asked().model.string() + "' --data '" + path.string() + "' --out '" +
              other.string() +
              "' --methods rtn3-g64 --question-key q --answers-key a --bucket-key views --relation-key r --shots 2 "
              "--tokens 4 --seeds 1,2 --questions 7 --seed 5 --bucket-least 5 --threads 1",
          0, {"7 of 24 questions behind 2 examples"});
    const auto same = make_questions(read_run(other));
    REQUIRE(same.size() == 7);
    for (std::size_t n = 0; n < 7; ++n) {
        CHECK(same.questions[n].text == q.questions[n].text);
        CHECK(same.variants[1].contains[n] == q.variants[1].contains[n]);
    }
}

TEST_CASE("what cannot be asked is said, and left out or refused") {
    std::string lines = test::read_bytes(asked().data);
    std::string words;
    for (std::size_t i = 0; i < 150; ++i) words += " a cat sat";
    const auto longer = asked().folder.write("longer.tsv", lines + "Who" + words + "?\t[\"b\"]\t3\trare\tlong\n");
    const auto with = [&](fs::path const& data, std::string const& more) {
        return "bitlens popqa --model '" + asked().model.string() + "' --data '" + data.string() + "' --out '" +
               (asked().folder / ("refused" + std::to_string(more.size()))).string() +
               "' --methods rtn3-g64 --tokens 4 --threads 1 " + more;
    };
    check(
        with(longer, "--shots 0"), 0,
        {"24 of 25 questions behind 0 examples", "line 26 (id \"long\"): left out, its prompt and answer are longer"});
    check(with(asked().data, "--shots 4"), 2, {"questions.tsv: ", "4 shots, each of another relation"});
    check(with(asked().data, "--shots 2 --seeds 1,1"), 2, {"--seeds: a seed is named twice"});
    check(with(asked().data, "--shots 2 --seeds x"), 2, {"whole numbers joined by commas are expected"});
    check(with(asked().data, "--shots 2 --bucket-edges 3,2"), 2,
          {"--bucket-edges", "expected finite numbers that rise"});
    check(with(asked().data, "--shots 2 --answers-key none"), 1, {"none"});
    const auto bad = asked().folder.write("bad.tsv", "question\tpossible_answers\tprop\nWhat?\t[\"a\"\tx\n");
    check(with(bad, "--shots 0"), 1, {"bad.tsv: line 2"});
}

TEST_CASE("a study of choices scores the choices alone, and says how many are right") {
    const auto data = asked().folder.write(
        "choices.jsonl",
        "{\"text\": \"a cat sat on\", \"options\": [\"the mat\", \"the dog\"], \"key\": 0}\n"
        "{\"text\": \"the dog saw\", \"options\": [\"a cat\", \"mat on the\", \"sat\"], \"key\": 2}\n");
    const auto out = asked().folder / "choices";
    const std::string line = "bitlens study --model '" + asked().model.string() + "' --data '" + data.string() +
                             "' --methods rtn3-g64 --threads 1 --out '" + out.string() + "' ";
    check(line + "--choices-key options --answer-key key", 0, {"5 of 5 documents"});
    const auto s = make_study(read_run(out));
    REQUIRE(s.size() == 5);
    const tokenizer t = tokenizer::from_json(asked().model / "tokenizer.json");
    const transformer<llama, asked_weight> model(checkpoint(asked().model), true);
    for (std::size_t n = 0; n < s.size(); ++n) {
        const auto ids = s.run.documents.ids.row(n);
        const auto scored = s.run.documents.ids.scored(n);
        const auto nll = score(model, ids);
        CHECK(std::abs(s.nll_full[n] - mean<double>(std::span(nll).subspan(scored.first))) < 1e-4);
    }
    const auto r = choices_of(s);
    REQUIRE(r);
    CHECK(r->questions.size() == 2);
    CHECK(test::read_bytes(out / "report.html").find("Right choices among several answers") != std::string::npos);
    check(line + "--choices-key options --answer-key key --tokens 12", 2, {"--tokens max is expected"});
    check(line + "--choices-key options", 2, {"--answer-key"});
}

TEST_CASE("a study takes documents as long as they are") {
    const auto data =
        asked().folder.write("lengths.jsonl", "{\"text\": \"a cat\"}\n{\"text\": \"the dog saw the cat on "
                                              "the mat\"}\n{\"text\": \"\"}\n{\"text\": \"the mat\"}\n");
    const auto out = asked().folder / "lengths";
    check("bitlens study --model '" + asked().model.string() + "' --data '" + data.string() +
              "' --methods rtn3-g64 --threads 1 --tokens max --out '" + out.string() + "'",
          0, {"3 of 4 documents", " tokens (1 shorter ones left out, 0 longer ones cut)"});
    const auto s = make_study(read_run(out));
    const transformer<llama, asked_weight> model(checkpoint(asked().model), true);
    for (std::size_t n = 0; n < s.size(); ++n)
        CHECK(std::abs(s.nll_full[n] - mean<double>(score(model, s.run.documents.ids.row(n)))) < 1e-4);
    CHECK(s.run.documents.ids.shortest() < s.run.documents.ids.longest());
    check("bitlens locate --threads 1 --model '" + asked().model.string() + "' '" + out.string() + "'", 2,
          {"has no D_large and D_ctrl among 3 documents"});
    check("bitlens locate --threads 1 --model '" + asked().model.string() + "' '" + out.string() +
              "' --on all --experiments exit,restore",
          0, {"report: "});
}
