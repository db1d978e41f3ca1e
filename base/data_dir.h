/// Where the program finds the data that ships with it: catalogues, published measurements, schemas.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace foretrain {

/// A data file that the program holds itself, named as in the source tree; the build puts it in.
struct BuiltInFile {
  std::string_view path, content;
};

/// The text of a data file and the name that errors call it by.
struct DataText {
  std::string name;
  std::string content;
};

/// A data file that the program cannot do without, so that a program or library of ours works wherever it is copied:
///   1. from the folder that FORETRAIN_DATA names, and then nowhere else (MachineError when it is not there);
///   2. from the source tree that the program was built from, where there is one;
///   3. from `files`, as it was when the program was built.
/// An installed share/foretrain is for readers: a program keeps to the data that it was built with.
DataText data_text(std::string_view relative, std::span<const BuiltInFile> files);

/// The path of a data file or folder, named as in the source tree: "validate/published/runs".
///
/// Looks, in this order, in
///   1. the folder that the environment variable FORETRAIN_DATA names, and then nowhere else;
///   2. <folder of the executable>/../share/foretrain, where an installed program has it;
///   3. the source tree that the program was built from.
/// MachineError names every place it looked in when the file is in none.
std::string data_file(std::string_view relative);

}  // namespace foretrain
