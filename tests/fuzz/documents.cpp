#include "files.hpp"
#include "targets.hpp"

#include "bitlens/text/documents.hpp"

namespace bitlens::fuzz {

void documents(input bytes) {
    static const folder place;
    const auto path = place.write("documents.jsonl", bytes);
    std::size_t rows = 0;
    try {
        document_reader keeping(path, 100, {.id = "topic", .kept = {"id", "url"}});
        for (document d; keeping.next(d);) {
            must(d.kept.size() == 2 && is_utf8(d.kept[0]) && is_utf8(d.kept[1]), "kept keys that are no UTF-8");
            ++rows;
        }
        must(keeping.absent_keys().size() <= 3, "keys absent that nobody asked for");
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

} // namespace bitlens::fuzz
