#pragma once
/// read_config: the configuration of a model from config.json or from GGUF metadata. What could change a result and is
/// not understood is a problem, never ignored.

#include "bitlens/io/gguf.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/models/architectures.hpp"
#include "bitlens/models/config_gguf.hpp"
#include "bitlens/models/config_json.hpp"
#include "bitlens/models/model_config.hpp"
#include "bitlens/models/model_family.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace bitlens {

/// The configuration in a config.json as transformers 4 and 5 write it; `who` is its path. Its family is the one of
/// `known` that model_type names. What is wrong goes to `problems`, and the rest is still read; of a family that is not
/// known, what it states. Keys that are not known and that `allowed_keys` names are passed over ("rope_scaling.<key>"
/// for one in there).
/// Errors: option_error for an allowed key that does not occur or is known.
inline model_config read_config(json const& file, std::string const& who, problem_list& problems,
                                std::span<const std::string> allowed_keys = {},
                                std::span<model_family const* const> known = families) {
    model_config c;
    problems.collect([&] {
        detail::expect_object(file, who);
        const std::size_t before = problems.texts().size();
        c = detail::config_json_file(file, who, allowed_keys, known, problems).read();
        if (problems.texts().size() == before) check_config(c, who, problems);
    });
    return c;
}

/// The configuration in the metadata of a GGUF file, of the first family of `known` whose files have that
/// general.architecture; problems, allowed keys (by their full name) and errors as above.
inline model_config read_config(gguf_file const& file, problem_list& problems,
                                std::span<const std::string> allowed_keys = {},
                                std::span<model_family const* const> known = families) {
    const std::size_t before = problems.texts().size();
    const auto c = detail::config_gguf_reader(file, allowed_keys, known, problems).read();
    if (problems.texts().size() == before) check_config(c, file.path().string(), problems);
    return c;
}

} // namespace bitlens
