/// Where the program finds the data that ships with it: catalogues, published measurements, schemas.
#pragma once

#include <string>
#include <string_view>

namespace foretrain {

/// The path of a data file or folder, named as in the source tree: "hwmodels/catalogue/gpus.json".
///
/// Looks, in this order, in
///   1. the folder that the environment variable FORETRAIN_DATA names, and then nowhere else;
///   2. <folder of the executable>/../share/foretrain, where an installed program has it;
///   3. the source tree that the program was built from.
/// MachineError names every place it looked in when the file is in none.
std::string data_file(std::string_view relative);

}  // namespace foretrain
