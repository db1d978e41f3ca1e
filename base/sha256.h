/// SHA-256, so that a result can name the files it was made from.
#pragma once

#include <string>
#include <string_view>

namespace foretrain {

/// The digest of `bytes` as 64 lower-case hexadecimal digits, as `sha256sum` prints it. Source: FIPS 180-4.
std::string sha256(std::string_view bytes);

}  // namespace foretrain
