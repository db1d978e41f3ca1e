#include "hwmodels/node_map_file.h"

#include "base/spec_error.h"
#include "base/text_file.h"

namespace foretrain {

NodeMap read_node_map(const std::string& file) {
  return read_node_map_text(read_text_file(file, kLargestNodeMapBytes), file);
}

NodeMap read_node_map_text(const std::string& text, const std::string& file) {
  std::size_t first = text.compare(0, 3, "\xef\xbb\xbf") == 0 ? 3 : 0;
  first = text.find_first_not_of(" \t\r\n", first);
  if (first == std::string::npos)
    throw SpecError(file, "expected an NCCL topology or the table of `nvidia-smi topo -m`; got nothing");
  return text[first] == '<' ? read_nccl_topology(text, file) : read_topology_table(text, file);
}

}  // namespace foretrain
