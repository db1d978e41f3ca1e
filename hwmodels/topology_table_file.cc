#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "hwmodels/node_map_file.h"

namespace foretrain {
namespace {

constexpr std::size_t kMostDevices = 512;

/// How far two devices are from each other, nearest first, as nvidia-smi's legend has it. GPUs joined by NVLink show
/// that in place of their PCIe distance, which is then hidden.
enum class Cell { self, pix, pxb, phb, node, sys, hidden };
struct CellName {
  std::string_view name;
  Cell cell;
};
constexpr std::array<CellName, 7> kCellNames = {{{"X", Cell::self},
                                                 {"PIX", Cell::pix},
                                                 {"PXB", Cell::pxb},
                                                 {"PHB", Cell::phb},
                                                 {"NODE", Cell::node},
                                                 {"SYS", Cell::sys},
                                                 {"SOC", Cell::sys}}};  // drivers before 387

struct Line {
  std::size_t number = 0;
  std::vector<std::string> words;
};

/// The table as text: names of the devices, and a row of words for each.
struct Table {
  std::vector<std::string> names;
  std::vector<std::vector<Cell>> cells;            // [devices, devices]
  std::vector<std::vector<std::int32_t>> nvlinks;  // [devices, devices]
  std::vector<std::string> affinity;               // [devices] processors and NUMA node; "" for NICs
  std::vector<std::size_t> lines;                  // [devices] where its row stands
};

bool is_gpu(std::string_view name) {
  return name.size() > 3 && name.substr(0, 3) == "GPU" && name.find_first_not_of("0123456789", 3) == name.npos;
}

/// Words of each line, without what a terminal draws with (nvidia-smi underlines its header).
std::vector<Line> lines_of(const std::string& text) {
  std::vector<Line> lines;
  std::size_t number = 0;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    Line line{++number, {}};
    std::string word;
    const auto finish = [&] {
      if (!word.empty()) line.words.push_back(std::move(word));
      word.clear();
    };
    for (std::size_t i = start; i < end; ++i) {
      const char c = text[i];
      if (c == '\x1b' && i + 1 < end && text[i + 1] == '[') {  // a control sequence ends with its first letter
        for (i += 2; i < end && (text[i] < '@' || text[i] > '~');) ++i;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        finish();
      } else {
        word += c;
      }
    }
    finish();
    lines.push_back(std::move(line));
    start = end + 1;
  }
  return lines;
}

std::string at_line(const std::string& file, std::size_t line) { return fmt::format("{}:{}", file, line); }

/// The header's devices: all words before "CPU Affinity".
std::vector<std::string> read_header(const Line& header, const std::string& file) {
  std::vector<std::string> names;
  for (const std::string& word : header.words) {
    if (word == "CPU" || word == "NUMA") break;
    names.push_back(shortened(word, 60));
  }
  const std::string where = at_line(file, header.number);
  if (names.size() == header.words.size())
    throw SpecError(where, "expected \"CPU Affinity\" after the devices of the header, as nvidia-smi prints it");
  if (names.size() > kMostDevices)
    throw SpecError(where, fmt::format("expected at most {} devices; got {}", kMostDevices, names.size()));
  std::int64_t gpus = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i))
      throw SpecError(where, fmt::format("device {} stands twice", in_quotes(names[i])));
    gpus += is_gpu(names[i]) ? 1 : 0;
  }
  if (gpus > kMostNodeGpus)
    throw SpecError(where, fmt::format("expected at most {} GPUs in a node; got {}", kMostNodeGpus, gpus));
  return names;
}

void read_cell(const std::string& word, std::size_t row, std::size_t column, const std::string& where, Table& table) {
  const std::string pair = fmt::format("{} and {}", table.names[row], table.names[column]);
  for (const CellName& known : kCellNames) {
    if (known.name != word) continue;
    if ((known.cell == Cell::self) != (row == column))
      throw SpecError(where, fmt::format("{} of {}; X stands for a device and itself, and nowhere else", word, pair));
    table.cells[row][column] = known.cell;
    return;
  }
  const bool nvlink = word.size() >= 3 && word.size() <= 5 && word.substr(0, 2) == "NV" &&
                      word.find_first_not_of("0123456789", 2) == word.npos;
  if (!nvlink || row == column || !is_gpu(table.names[row]) || !is_gpu(table.names[column]))
    throw SpecError(
        where, fmt::format("expected X, PIX, PXB, PHB, NODE, SYS or, of two GPUs, NV and a count between {}; got {}",
                           pair, in_quotes(word)));
  table.nvlinks[row][column] = std::stoi(word.substr(2));
  if (table.nvlinks[row][column] == 0) throw SpecError(where, fmt::format("no NVLinks (NV0) between {}", pair));
}

/// Rows up to the legend or the end; one for each device, in any order.
Table read_rows(const std::vector<Line>& lines, std::size_t header, const std::string& file) {
  Table table;
  table.names = read_header(lines[header], file);
  const std::size_t n = table.names.size();
  table.cells.assign(n, std::vector<Cell>(n, Cell::hidden));
  table.nvlinks.assign(n, std::vector<std::int32_t>(n, 0));
  table.affinity.assign(n, "");
  table.lines.assign(n, 0);
  std::size_t last = lines[header].number;
  for (std::size_t i = header + 1; i < lines.size(); ++i) {
    const Line& line = lines[i];
    if (line.words.empty()) continue;
    if (line.words[0] == "Legend:" || (line.words[0] == "NIC" && line.words.size() == 2)) break;
    const std::string where = at_line(file, line.number);
    last = line.number;
    const auto found = std::find(table.names.begin(), table.names.end(), line.words[0]);
    if (found == table.names.end())
      throw SpecError(where, fmt::format("expected a row of a device in the header; got {}", in_quotes(line.words[0])));
    const auto row = static_cast<std::size_t>(found - table.names.begin());
    if (table.lines[row] != 0) throw SpecError(where, fmt::format("a second row of {}", table.names[row]));
    table.lines[row] = line.number;
    if (line.words.size() < n + 1)
      throw SpecError(where, fmt::format("expected {} columns after {}, one for each device of the header; got {}", n,
                                         table.names[row], line.words.size() - 1));
    for (std::size_t column = 0; column < n; ++column) read_cell(line.words[column + 1], row, column, where, table);
    for (std::size_t w = n + 1; w < line.words.size(); ++w) table.affinity[row] += line.words[w] + " ";
    if (!is_gpu(table.names[row]) && !table.affinity[row].empty())
      throw SpecError(where,
                      fmt::format("expected {} columns after {}; got {}", n, table.names[row], line.words.size() - 1));
  }
  for (std::size_t i = 0; i < n; ++i)
    if (table.lines[i] == 0)
      throw SpecError(at_line(file, last),
                      fmt::format("expected a row of {} too; the table ends here", table.names[i]));
  return table;
}

void check_symmetric(const Table& table, const std::string& file) {
  for (std::size_t i = 0; i < table.names.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (table.cells[i][j] != table.cells[j][i] || table.nvlinks[i][j] != table.nvlinks[j][i])
        throw SpecError(at_line(file, table.lines[i]),
                        fmt::format("{} and {} are joined one way here and another way in line {}", table.names[i],
                                    table.names[j], table.lines[j]));
}

/// Devices that are at most as far from each other as a level, for each level: unions of the table's pairs.
class Levels {
 public:
  Levels(const Table& table, const std::string& file);
  [[nodiscard]] std::size_t group(Cell level, std::size_t device) const {
    return groups_[static_cast<std::size_t>(level)][device];
  }
  [[nodiscard]] std::size_t size(Cell level, std::size_t device) const {
    const auto& all = groups_[static_cast<std::size_t>(level)];
    return static_cast<std::size_t>(std::count(all.begin(), all.end(), all[device]));
  }

 private:
  void unite(Cell level, std::size_t a, std::size_t b);
  std::array<std::vector<std::size_t>, 5> groups_;  // by level: the group's first device
};

void Levels::unite(Cell level, std::size_t a, std::size_t b) {
  std::vector<std::size_t>& all = groups_[static_cast<std::size_t>(level)];
  const std::size_t low = std::min(all[a], all[b]), high = std::max(all[a], all[b]);
  if (low != high) std::replace(all.begin(), all.end(), high, low);
}

Levels::Levels(const Table& table, const std::string& file) {
  const std::size_t n = table.names.size();
  for (std::vector<std::size_t>& all : groups_) {
    all.resize(n);
    std::iota(all.begin(), all.end(), std::size_t{0});
  }
  const std::array levels = {Cell::pix, Cell::pxb, Cell::phb, Cell::node};
  for (const Cell level : levels)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (table.cells[i][j] <= level) unite(level, i, j);
  // NVLinks hide how far two GPUs are over PCIe: those with the same processors are on one socket, unless NICs say no.
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      if (table.cells[i][j] != Cell::hidden || table.affinity[i] != table.affinity[j]) continue;
      bool apart = false;
      for (std::size_t k = 0; k < n; ++k)
        apart = apart || (table.cells[i][k] == Cell::sys && table.cells[j][k] < Cell::sys && k != j) ||
                (table.cells[j][k] == Cell::sys && table.cells[i][k] < Cell::sys && k != i);
      if (!apart) unite(Cell::node, i, j);
    }
  for (const Cell level : levels)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (group(level, i) == group(level, j) && table.cells[i][j] > level && table.cells[i][j] != Cell::hidden)
          throw SpecError(at_line(file, table.lines[i]),
                          fmt::format("{} and {} are farther apart than what others lie between them: no tree of PCIe "
                                      "switches has such a table",
                                      table.names[i], table.names[j]));
}

/// Sockets, below them a switch for what is PXB to each other, below it one for what is PIX.
NodeMap tree_of(const Table& table, const Levels& levels) {
  NodeMap map;
  const auto add = [&](NodePartKind kind, std::int32_t parent, std::string name) {
    map.parts.push_back({kind, parent, std::move(name), {}, {}, -1});
    return static_cast<std::int32_t>(map.parts.size()) - 1;
  };
  std::map<std::size_t, std::int32_t> sockets, uppers, lowers;
  for (std::size_t i = 0; i < table.names.size(); ++i) {
    const auto socket = sockets.try_emplace(levels.group(Cell::node, i), -1).first;
    if (socket->second < 0)
      socket->second = add(NodePartKind::socket, -1, fmt::format("socket {}", sockets.size() - 1));
    std::int32_t parent = socket->second;
    const std::size_t near = levels.size(Cell::pix, i), around = levels.size(Cell::pxb, i);
    if (around > near) {
      const auto upper = uppers.try_emplace(levels.group(Cell::pxb, i), -1).first;
      if (upper->second < 0) upper->second = add(NodePartKind::pcie_switch, parent, "");
      parent = upper->second;
    }
    if (around > 1) {
      const auto lower = lowers.try_emplace(levels.group(Cell::pix, i), -1).first;
      if (lower->second < 0) lower->second = add(NodePartKind::pcie_switch, parent, "");
      parent = lower->second;
    }
    const bool gpu = is_gpu(table.names[i]);
    (gpu ? map.gpus : map.nics).push_back(add(gpu ? NodePartKind::gpu : NodePartKind::nic, parent, table.names[i]));
  }
  return map;
}

/// GPUs in the order of their numbers; NVLinks between them. Whether they go through switches the counts tell, together
/// with how many the GPU has: they are kept as pairs here.
void fill_nvlinks(const Table& table, NodeMap& map) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < table.names.size(); ++i)
    if (is_gpu(table.names[i])) rows.push_back(i);
  const std::size_t n = rows.size();
  map.nvlinks_known = true;
  map.nvlinks.assign(n * n, 0);
  map.nvswitch_links.assign(n, 0);
  map.c2c.assign(n, {});
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) map.nvlinks[i * n + j] = table.nvlinks[rows[i]][rows[j]];
}

/// "NIC3: mlx5_4" after the table names the NICs of its columns.
void name_nics(const std::vector<Line>& lines, NodeMap& map) {
  for (const Line& line : lines)
    if (line.words.size() == 2 && line.words[0].size() > 1 && line.words[0].back() == ':')
      for (const std::int32_t nic : map.nics) {
        NodePart& part = map.parts[static_cast<std::size_t>(nic)];
        if (part.name + ":" == line.words[0]) part.name = shortened(line.words[1], 60);
      }
}

}  // namespace

NodeMap read_topology_table(const std::string& text, const std::string& file) {
  const std::vector<Line> lines = lines_of(text.compare(0, 3, "\xef\xbb\xbf") == 0 ? text.substr(3) : text);
  std::size_t header = 0;
  while (header < lines.size() && (lines[header].words.empty() || lines[header].words[0] != "GPU0")) ++header;
  if (header == lines.size())
    throw SpecError(file,
                    "expected an NCCL topology (<system ...>) or the table of `nvidia-smi topo -m`, whose header "
                    "begins with GPU0; found neither");
  const Table table = read_rows(lines, header, file);
  check_symmetric(table, file);
  NodeMap map = tree_of(table, Levels(table, file));
  fill_nvlinks(table, map);
  name_nics(lines, map);
  map.file = file;
  map.format = "nvidia-smi topo -m";
  return map;
}

}  // namespace foretrain
