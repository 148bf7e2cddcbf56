#include "files.hpp"
#include "targets.hpp"

#include "bitlens/text/answer_marks.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/few_shots.hpp"
#include "bitlens/text/question_set.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace bitlens::fuzz {

void documents(input bytes) {
    static const folder place;
    const auto path = place.write("documents.jsonl", bytes);
    std::size_t rows = 0;
    try {
        document_reader keeping(path, 100, {.id = "topic", .kept = {"id", "url"}, .prompt = "prompt"});
        for (document d; keeping.next(d);) {
            must(is_utf8(d.prompt), "a prompt that is no UTF-8");
            must(d.kept.size() == 2 && is_utf8(d.kept[0]) && is_utf8(d.kept[1]), "kept keys that are no UTF-8");
            ++rows;
        }
        must(keeping.absent_keys().size() <= 4, "keys absent that nobody asked for");
    } catch (error const&) { // what the plain reader takes may be no value of a cell
    }
    document_reader reader(path);
    rows = 0;
    for (document d; reader.next(d);) {
        must(d.row == rows++, "rows are not numbered one after the other");
        must(is_utf8(d.text) && is_utf8(d.id) && is_utf8(d.topic), "text that is no UTF-8");
        must(reader.holds_ids() ? d.text.empty() : d.ids.empty(), "ids and text");
    }
}

void choices(input bytes) {
    static const folder place;
    document_reader reader(place.write("choices.jsonl", bytes), 100, {.choices = "choices", .answer = "answer"});
    std::size_t rows = 0, choice = 0, answers = 1;
    for (document d; reader.next(d);) {
        if (d.choice == 0) {
            must(answers == 1, "a question of no answer, or of several");
            must(d.row == rows++, "rows are not numbered one after the other");
            choice = answers = 0;
        }
        must(d.row == rows - 1 && d.choice == choice++ && choice <= most_choices, "choices do not follow each other");
        must(is_utf8(d.prompt) && is_utf8(d.text) && !d.text.empty() && !d.prompt.empty() && !d.id.empty(),
             "a choice without a text, a question or a name");
        answers += d.is_answer;
    }
    must(answers == 1, "a last question of no answer, or of several");
}

void questions(input bytes) {
    static const folder place;
    const auto path = place.write("questions.tsv", bytes);
    const std::vector<question> set = read_questions(path);
    must(!set.empty(), "no questions");
    const few_shots choose(set, std::min<std::size_t>(set.size() - 1, 2));
    for (auto const& q : set) {
        must(&q == &set[q.row], "rows are not numbered one after the other");
        must(is_utf8(q.text) && is_utf8(q.id) && is_utf8(q.relation), "text that is no UTF-8");
        must(!q.text.empty() && !q.answers.empty(), "a question without a text or an answer");
        must(q.popularity.has_value() != q.popularity_written.empty(), "a popularity that is read or written alone");
        must(!q.popularity || (*q.popularity >= 0 && *q.popularity <= std::numeric_limits<double>::max()),
             "a popularity that is no number");
        for (auto const& answer : q.answers) {
            must(is_utf8(answer) && is_utf8(lower_case(answer)) && is_utf8(capitalized(answer)),
                 "an answer that is no UTF-8");
            must(contains_answer(answer, {&answer, 1}) && matches_answer(answer, {&answer, 1}),
                 "an answer that is none of itself");
        }
        try {
            for (const std::size_t shot : choose(1, q.row))
                must(set[shot].text != q.text, "a shot that has the question's text");
        } catch (option_error const&) { // questions of too few relations
        }
    }
}

} // namespace bitlens::fuzz
