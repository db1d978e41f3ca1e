/// Reads a file's text, with limits that keep a mistaken name from filling the memory.
#pragma once

#include <cstddef>
#include <string>

namespace foretrain {

/// All of a file's bytes; reads pipes too. SpecError when it is absent, a folder, unreadable or longer than
/// `most_bytes`, of which no more is read than a block.
std::string read_text_file(const std::string& path, std::size_t most_bytes);

}  // namespace foretrain
