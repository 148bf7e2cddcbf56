#include "files.hpp"
#include "targets.hpp"

#include "bitlens/text/documents.hpp"

namespace bitlens::fuzz {

void documents(input bytes) {
    static const folder place;
    document_reader reader(place.write("documents.jsonl", bytes));
    std::size_t rows = 0;
    for (document d; reader.next(d);) {
        must(d.row == rows++, "rows are not numbered one after the other");
        must(is_utf8(d.text) && is_utf8(d.id) && is_utf8(d.topic), "text that is no UTF-8");
        must(reader.holds_ids() ? d.text.empty() : d.ids.empty(), "ids and text");
    }
}

} // namespace bitlens::fuzz
