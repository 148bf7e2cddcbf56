/// `bitlens tokenize`: from standard input to standard output, a JSON string a line in, a JSON array of ids a line out.

#include "commands.hpp"
#include "setting.hpp"
#include "streams.hpp"

#include "bitlens/io/json.hpp"
#include "bitlens/text/tokenizer_file.hpp"

#include <iostream>
#include <string>

namespace bitlens::command {

void tokenize(tokenize_arguments const& a) {
    const auto t = load_tokenizer(a.tokenizer.empty() ? a.model : a.tokenizer, a.pre);
    const auto bos = bos_token(t, a.bos);
    std::size_t number = 0;
    for (std::string line; std::getline(std::cin, line);) {
        const std::string who = "standard input, line " + std::to_string(++number);
        const json text = parse_json(line, who);
        if (!text.is_string())
            throw format_error(who + ": a JSON string is expected, " + text.type_name() + " was found");
        auto ids = t.encode(text.get_ref<std::string const&>());
        if (bos) ids.insert(ids.begin(), *bos);
        std::cout << json(ids).dump() << '\n';
        flush_output(); // whoever writes a line may wait for the answer
    }
    expect_input_was_read();
}

} // namespace bitlens::command
