/// The files that the catalogue is made of, for those who show them as they are.
#pragma once

#include <string_view>

#include "base/spec_node.h"

namespace foretrain {

/// A file of hwmodels/catalogue ("gpus.json"), found by data_text() (base/data_dir.h).
SpecNode catalogue_file(std::string_view name);

}  // namespace foretrain
