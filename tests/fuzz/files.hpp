#pragma once
/// Folders in memory for parsers that read files, and the check of a property.

#include "targets.hpp"

#include "bitlens/io/byte_cursor.hpp"

#include "temporary_folder.hpp"

#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace bitlens::fuzz {

/// A folder of its own, in memory where the system has such a place, with some files of the corpus in it.
class folder : public test::temporary_folder {
public:
    /// Pairs of a name here and the file of the corpus.
    explicit folder(std::initializer_list<std::pair<std::string_view, std::string_view>> copies = {})
        : temporary_folder(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path()) {
        for (auto const& [name, original] : copies) {
            create_directories((path() / name).parent_path());
            copy_file(std::filesystem::path(BITLENS_FUZZ_CORPUS) / original, path() / name);
        }
    }
    std::filesystem::path write(std::string_view name, input bytes) const {
        return temporary_folder::write(name, as_text(std::as_bytes(bytes)));
    }
};

/// What holds of every input that is taken.   Errors: std::logic_error, which no target may end in.
inline void must(bool holds, char const* otherwise) {
    if (!holds) throw std::logic_error(otherwise);
}

} // namespace bitlens::fuzz
