#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "base/spec_error.h"
#include "base/text.h"
#include "hwmodels/node_map_file.h"

namespace foretrain {
namespace {

constexpr int kDeepest = 64;
constexpr std::size_t kMostParts = 4096;

/// Raw rate of one lane by generation: 8b/10b coding up to 5 GT/s, 128b/130b up to 32, flits of 242 of 256 bytes at 64.
struct LaneSpeed {
  double gigatransfers;
  BytesPerSecond rate;
};
constexpr std::array<LaneSpeed, 6> kLaneSpeeds = {{{2.5, 2.0 * Gbit_per_s},
                                                   {5, 4.0 * Gbit_per_s},
                                                   {8, 7.875 * Gbit_per_s},
                                                   {16, 15.75 * Gbit_per_s},
                                                   {32, 31.5 * Gbit_per_s},
                                                   {64, 63.0 * Gbit_per_s}}};
constexpr std::array<std::int64_t, 7> kLinkWidths = {1, 2, 4, 8, 12, 16, 32};

enum class PciClass { bridge, gpu, nic, nvswitch, processor };

bool begins_with(std::string_view text, std::string_view beginning) {
  return text.substr(0, beginning.size()) == beginning;
}

/// One host of the file while it is read.
struct Host {
  NodeMap map;
  std::set<std::string> processors;                   // NUMA ids
  std::map<std::string, std::int32_t> by_bus;         // PCI bus id -> part
  std::map<std::string, pugi::xml_node> gpu_devices;  // PCI bus id of each GPU -> its <pci>
};

class TopologyReader {
 public:
  TopologyReader(const std::string& text, const std::string& file) : text_(text), file_(file) {}
  NodeMap read();

 private:
  [[nodiscard]] std::string where(std::ptrdiff_t offset) const;
  [[noreturn]] void fail(pugi::xml_node at, const std::string& what) const {
    throw SpecError(where(at.offset_debug()), what);
  }
  [[nodiscard]] std::string attribute(pugi::xml_node at, const char* name) const;
  [[nodiscard]] std::int64_t number(pugi::xml_node at, const char* name, std::int64_t least, std::int64_t most) const;
  void check_element(pugi::xml_node at, std::initializer_list<std::string_view> children) const;
  [[nodiscard]] PciClass class_of(pugi::xml_node at, const char* name) const;
  [[nodiscard]] BytesPerSecond link_of(pugi::xml_node pci) const;
  [[nodiscard]] std::string bus_id(pugi::xml_node at, const char* name) const;
  void read_processor(pugi::xml_node cpu, Host& host) const;
  void read_pci(pugi::xml_node pci, std::int32_t parent, int depth, Host& host) const;
  std::int32_t add_part(pugi::xml_node at, NodePart part, Host& host) const;
  void read_nic(pugi::xml_node nic, NodePart& part) const;
  void order_gpus(Host& host) const;
  void read_gpus(Host& host) const;
  void read_nvlink(pugi::xml_node link, std::size_t gpu, Host& host) const;
  void check_nvlinks(const Host& host) const;
  void check_pci_links(pugi::xml_node at, const Host& host) const;

  const std::string& text_;
  const std::string& file_;
};

std::string TopologyReader::where(std::ptrdiff_t offset) const {
  const auto end = text_.begin() + std::clamp<std::ptrdiff_t>(offset, 0, static_cast<std::ptrdiff_t>(text_.size()));
  return fmt::format("{}:{}", file_, 1 + std::count(text_.begin(), end, '\n'));
}

/// The attribute's text; "" where it is missing.
std::string TopologyReader::attribute(pugi::xml_node at, const char* name) const { return at.attribute(name).value(); }

std::int64_t TopologyReader::number(pugi::xml_node at, const char* name, std::int64_t least, std::int64_t most) const {
  const std::string text = attribute(at, name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    fail(at, fmt::format("expected {} of <{}> to be a whole number from {} to {}; got {}", name, at.name(), least, most,
                         at.attribute(name) ? in_quotes(text) : "nothing"));
  return value;
}

/// Every child is an element of those names, and no attribute stands twice.
void TopologyReader::check_element(pugi::xml_node at, std::initializer_list<std::string_view> children) const {
  for (const pugi::xml_node child : at.children()) {
    if (child.type() != pugi::node_element) fail(at, fmt::format("expected elements inside <{}>; got text", at.name()));
    if (std::find(children.begin(), children.end(), child.name()) != children.end()) continue;
    const std::vector<std::string_view> known(children);
    const std::string near = nearest_name(child.name(), known);
    fail(child, fmt::format("unknown element <{}> inside <{}>{}", shortened(child.name(), 60), at.name(),
                            near.empty() ? known.empty() ? std::string()
                                                         : fmt::format("; expected <{}>", fmt::join(known, ">, <"))
                                         : fmt::format("; did you mean <{}>?", near)));
  }
  for (const pugi::xml_attribute a : at.attributes())
    if (at.attribute(a.name()) != a) fail(at, fmt::format("attribute {} of <{}> stands twice", a.name(), at.name()));
}

PciClass TopologyReader::class_of(pugi::xml_node at, const char* name) const {
  const std::string text = to_lower(attribute(at, name));
  if (begins_with(text, "0x03") || begins_with(text, "0x12")) return PciClass::gpu;  // 0x12: AMD's accelerators
  if (begins_with(text, "0x02")) return PciClass::nic;
  if (begins_with(text, "0x0604") || text == "0x080100") return PciClass::bridge;  // ConnectX-8's direct path
  if (text == "0x068001") return PciClass::processor;
  if (begins_with(text, "0x0680")) return PciClass::nvswitch;
  fail(at, fmt::format("unknown device class {} of <{}>; expected 0x0302.. (GPU), 0x02.... (NIC), 0x0604.. (bridge) or "
                       "0x0680.. (NVSwitch)",
                       in_quotes(text), at.name()));
}

/// Width times speed. Where a virtual machine hides both, the rate is not known.
BytesPerSecond TopologyReader::link_of(pugi::xml_node pci) const {
  const std::string width = attribute(pci, "link_width"), speed = to_lower(attribute(pci, "link_speed"));
  const bool no_width = width.empty() || width == "0", no_speed = speed.empty() || begins_with(speed, "unknown");
  if (no_width && no_speed) return {};
  const std::int64_t lanes = number(pci, "link_width", -1000, 1000);
  if (std::find(kLinkWidths.begin(), kLinkWidths.end(), lanes) == kLinkWidths.end())
    fail(pci, fmt::format("expected link_width of <pci> to be one of {}; got {}", fmt::join(kLinkWidths, ", "), lanes));
  for (const LaneSpeed& lane : kLaneSpeeds)
    for (const std::string& figure :
         {fmt::format("{:g}", lane.gigatransfers), fmt::format("{:.1f}", lane.gigatransfers)})
      for (const char* unit : {" gt/s", " gt/s pcie", " gt/s pcie/s"})
        if (speed == figure + unit) return static_cast<double>(lanes) * lane.rate;
  fail(pci, fmt::format("expected link_speed of <pci> to be 2.5, 5, 8, 16, 32 or 64 \"GT/s\"; got {}",
                        in_quotes(attribute(pci, "link_speed"))));
}

/// "0000:07:00.0", in lower case and always with a domain.
std::string TopologyReader::bus_id(pugi::xml_node at, const char* name) const {
  std::string id = to_lower(attribute(at, name));
  const auto colons = std::count(id.begin(), id.end(), ':');
  if (colons == 1) id = "0000:" + id;
  const bool characters = id.find_first_not_of("0123456789abcdef:.") == std::string::npos;
  if (id.size() < 10 || id.size() > 20 || colons < 1 || colons > 2 || !characters ||
      std::count(id.begin(), id.end(), '.') > 1)
    fail(at, fmt::format("expected {} of <{}> to be a PCI bus id, \"0000:07:00.0\"; got {}", name, at.name(),
                         in_quotes(attribute(at, name))));
  return id;
}

std::int32_t TopologyReader::add_part(pugi::xml_node at, NodePart part, Host& host) const {
  if (host.map.parts.size() >= kMostParts) fail(at, fmt::format("expected at most {} devices; got more", kMostParts));
  host.map.parts.push_back(std::move(part));
  return static_cast<std::int32_t>(host.map.parts.size()) - 1;
}

/// Between processors, by vendor and model, as NCCL counts on it (topo.h: BDW 6, SKL 10, SRP 22, ERP 40, AMD 16, Arm
/// 6).
BytesPerSecond socket_link(HostCpu cpu, std::int64_t family, std::int64_t model) {
  if (cpu == HostCpu::amd) return 16 * GB_per_s;
  if (cpu == HostCpu::arm) return 6 * GB_per_s;
  if (family != 6) return 6 * GB_per_s;
  return (model >= 0xcf ? 40 : model >= 0x8f ? 22 : model >= 0x55 ? 10 : 6) * GB_per_s;
}

void TopologyReader::read_processor(pugi::xml_node cpu, Host& host) const {
  check_element(cpu, {"pci", "nic"});
  const std::string numa = fmt::format("{}", number(cpu, "numaid", -1, 4096));
  if (!host.processors.insert(numa).second) fail(cpu, fmt::format("numaid {} stands twice", numa));
  const std::string arch = attribute(cpu, "arch"), vendor = attribute(cpu, "vendor");
  if (arch != "" && arch != "x86_64" && arch != "arm64" && arch != "aarch64")
    fail(cpu, fmt::format("expected arch of <cpu> to be x86_64 or arm64; got {}", in_quotes(arch)));
  std::optional<HostCpu> kind;
  if (arch == "arm64" || arch == "aarch64") kind = HostCpu::arm;
  if (vendor == "GenuineIntel") kind = HostCpu::intel;
  if (vendor == "AuthenticAMD") kind = HostCpu::amd;
  if (kind) {
    host.map.cpu = kind;
    const auto optional = [&](const char* name) { return cpu.attribute(name) ? number(cpu, name, 0, 65535) : 0; };
    host.map.socket_link = socket_link(*kind, optional("familyid"), optional("modelid"));
  }
  const std::int32_t socket = add_part(cpu, {NodePartKind::socket, -1, "NUMA " + numa, {}, {}, -1}, host);
  for (const pugi::xml_node child : cpu.children()) {
    if (std::string_view(child.name()) == "pci") {
      read_pci(child, socket, 1, host);
    } else {
      NodePart nic{NodePartKind::nic, socket, "NIC", {}, {}, -1};
      read_nic(child, nic);
      host.map.nics.push_back(add_part(child, std::move(nic), host));
    }
  }
}

void TopologyReader::read_pci(pugi::xml_node pci, std::int32_t parent, int depth, Host& host) const {
  if (depth > kDeepest) fail(pci, fmt::format("expected <pci> at most {} deep; got more", kDeepest));
  const bool has_gpu = !pci.child("gpu").empty(), has_nic = !pci.child("nic").empty();
  // Files that leave the class to the driver show a bridge by what is behind it.
  const bool bridge = !pci.attribute("class") && !pci.child("pci").empty();
  const PciClass kind = bridge ? PciClass::bridge : class_of(pci, "class");
  const std::string bus = bus_id(pci, "busid");
  if (has_gpu && kind != PciClass::gpu)
    fail(pci, fmt::format("<gpu> inside a device of class {}; expected 0x0302..", attribute(pci, "class")));
  if (has_nic && kind == PciClass::gpu) fail(pci, "<nic> inside a GPU");
  NodePart part{NodePartKind::pcie_switch, parent, bus, link_of(pci), {}, -1};
  if (host.by_bus.count(bus) > 0) fail(pci, fmt::format("PCI device {} stands twice", bus));
  if (kind == PciClass::gpu) {
    check_element(pci, {"gpu"});
    part.kind = NodePartKind::gpu;
    if (static_cast<std::int64_t>(host.map.gpus.size()) >= kMostNodeGpus)
      fail(pci, fmt::format("expected at most {} GPUs in a node; got more", kMostNodeGpus));
    host.map.gpus.push_back(add_part(pci, part, host));
    host.gpu_devices[bus] = pci;
    host.by_bus[bus] = host.map.gpus.back();
  } else if (kind == PciClass::nic || has_nic) {
    check_element(pci, {"nic"});
    part.kind = NodePartKind::nic;
    for (const pugi::xml_node nic : pci.children("nic")) read_nic(nic, part);
    // Further functions of a device are further ports of one NIC.
    const auto first = host.by_bus.lower_bound(bus.substr(0, bus.find('.')));
    if (first != host.by_bus.end() && first->first.substr(0, first->first.find('.')) == bus.substr(0, bus.find('.'))) {
      host.map.parts[static_cast<std::size_t>(first->second)].rate += part.rate;
      host.by_bus[bus] = first->second;
      return;
    }
    host.map.nics.push_back(add_part(pci, part, host));
    host.by_bus[bus] = host.map.nics.back();
  } else {
    check_element(pci, {"pci", "pcilink"});
    const std::int32_t own = add_part(pci, part, host);
    host.by_bus[bus] = own;
    for (const pugi::xml_node child : pci.children("pci")) read_pci(child, own, depth + 1, host);
  }
}

/// Name and rate of a NIC: that of all its ports. A driver that does not know the speed says -1.
void TopologyReader::read_nic(pugi::xml_node nic, NodePart& part) const {
  check_element(nic, {"net", "gin", "rma", "coll"});
  for (const pugi::xml_node net : nic.children("net")) {
    check_element(net, {});
    if (net.attribute("rail")) part.rail = static_cast<std::int32_t>(number(net, "rail", -1, 100'000));
    if (net.attribute("name")) part.name = shortened(attribute(net, "name"), 60);
    if (!net.attribute("speed") || attribute(net, "speed") == "-1") continue;
    const double megabits = static_cast<double>(number(net, "speed", 1, 100'000'000));
    part.rate += megabits / 1000 * Gbit_per_s;
  }
}

/// Ranks follow the device numbers where every GPU has one of its own, else the PCI bus, as CUDA numbers equal GPUs.
void TopologyReader::order_gpus(Host& host) const {
  std::map<std::int64_t, std::string> by_number;
  for (const auto& [bus, pci] : host.gpu_devices) {
    const pugi::xml_node gpu = pci.child("gpu");
    if (gpu && gpu.attribute("dev")) by_number[number(gpu, "dev", 0, 100'000)] = bus;
  }
  std::vector<std::string> order;
  if (by_number.size() == host.gpu_devices.size())
    for (const auto& entry : by_number) order.push_back(entry.second);
  else
    for (const auto& entry : host.gpu_devices) order.push_back(entry.first);
  host.map.gpus.clear();
  for (const std::string& bus : order) host.map.gpus.push_back(host.by_bus.at(bus));
}

/// What stands inside <gpu>: capability, NVLinks, the link to the processor.
void TopologyReader::read_gpus(Host& host) const {
  NodeMap& map = host.map;
  const std::size_t n = map.gpus.size();
  map.nvlinks.assign(n * n, 0);
  map.nvswitch_links.assign(n, 0);
  map.c2c.assign(n, {});
  std::size_t known = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const pugi::xml_node pci = host.gpu_devices.at(map.parts[static_cast<std::size_t>(map.gpus[i])].name);
    const std::string device = to_lower(attribute(pci, "device"));
    if (i == 0) map.gpu_device = device;
    if (device != map.gpu_device)
      fail(pci, fmt::format("device {} beside {}: expected GPUs of one kind in a node", device, map.gpu_device));
    const pugi::xml_node gpu = pci.child("gpu");
    if (!gpu) continue;
    ++known;
    check_element(gpu, {"nvlink", "xgmi", "c2c"});
    const int capability = gpu.attribute("sm") ? static_cast<int>(number(gpu, "sm", 1, 1000)) : 0;
    if (map.compute_capability != 0 && capability != map.compute_capability)
      fail(gpu,
           fmt::format("sm {} beside {}: expected GPUs of one kind in a node", capability, map.compute_capability));
    map.compute_capability = capability;
    for (const pugi::xml_node link : gpu.children()) {
      if (std::string_view(link.name()) == "c2c") {
        // bw is in MB/s, of one of `count` links.
        map.c2c[i] =
            static_cast<double>(number(link, "bw", 1, 10'000'000) * number(link, "count", 1, 1000)) / 1000 * GB_per_s;
      } else {
        read_nvlink(link, i, host);
      }
    }
  }
  if (known > 0 && known < n)
    throw SpecError(file_, fmt::format("expected <gpu> in each of the {} GPUs or in none; {} have it", n, known));
  map.nvlinks_known = known == n;
}

void TopologyReader::read_nvlink(pugi::xml_node link, std::size_t gpu, Host& host) const {
  check_element(link, {});
  NodeMap& map = host.map;
  const auto count = static_cast<std::int32_t>(number(link, "count", 1, 1000));
  const PciClass kind = class_of(link, "tclass");
  if (kind == PciClass::nvswitch || kind == PciClass::bridge) {  // a bridge: switches hidden from a virtual machine
    map.nvswitch_links[gpu] += count;
    return;
  }
  if (kind != PciClass::gpu)
    fail(link, "expected tclass of <nvlink> to be that of a GPU (0x0302..) or of an NVSwitch (0x0680..); got " +
                   in_quotes(attribute(link, "tclass")));
  const std::string target = bus_id(link, "target");
  const auto peer = std::find_if(map.gpus.begin(), map.gpus.end(), [&](std::int32_t part) {
    return map.parts[static_cast<std::size_t>(part)].name == target;
  });
  if (peer == map.gpus.end()) fail(link, fmt::format("an NVLink to {}, which is no GPU of this node", target));
  const auto j = static_cast<std::size_t>(peer - map.gpus.begin());
  if (j == gpu) fail(link, fmt::format("an NVLink from GPU {} to itself", target));
  map.nvlinks[gpu * map.gpus.size() + j] += count;
}

void TopologyReader::check_nvlinks(const Host& host) const {
  const NodeMap& map = host.map;
  const std::size_t n = map.gpus.size();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      if (map.nvlinks[i * n + j] == map.nvlinks[j * n + i]) continue;
      const std::string& a = map.parts[static_cast<std::size_t>(map.gpus[i])].name;
      fail(host.gpu_devices.at(a),
           fmt::format("{} NVLinks from GPU {} to {}, but {} back", map.nvlinks[i * n + j], a,
                       map.parts[static_cast<std::size_t>(map.gpus[j])].name, map.nvlinks[j * n + i]));
    }
}

/// <pcilink> joins two switches of one fabric; it shortens no way that the tree does not have.
void TopologyReader::check_pci_links(pugi::xml_node at, const Host& host) const {
  for (const pugi::xml_node child : at.children()) {
    if (std::string_view(child.name()) == "pci") check_pci_links(child, host);
    if (std::string_view(child.name()) != "pcilink") continue;
    const std::string target = bus_id(child, "target");
    if (target == bus_id(at, "busid")) fail(child, fmt::format("a PCI link from {} to itself", target));
    if (host.by_bus.count(target) == 0) fail(child, fmt::format("a PCI link to {}, which is not in the file", target));
  }
}

NodeMap TopologyReader::read() {
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer(text_.data(), text_.size(), pugi::parse_default | pugi::parse_fragment, pugi::encoding_utf8);
  if (!result)
    throw SpecError(where(result.offset),
                    fmt::format("expected XML, with every element closed; {}", to_lower(result.description())));
  const pugi::xml_node root = document.document_element();
  const std::string_view name = root.name();
  if (name == "graphs")
    fail(root,
         "expected <system>, as NCCL_TOPO_DUMP_FILE writes it; got <graphs>: NCCL_GRAPH_DUMP_FILE has channels, not "
         "links");
  if (name != "system")
    throw SpecError(where(std::max<std::ptrdiff_t>(0, root.offset_debug())),
                    fmt::format("expected <system> of an NCCL topology; got {}",
                                root ? "<" + shortened(name, 60) + ">" : "no element"));
  for (const pugi::xml_node node : document.children())
    if (node != root && (node.type() == pugi::node_element || node.type() == pugi::node_pcdata))
      throw SpecError(where(node.offset_debug()), "expected nothing but <system>; got more");
  check_element(root, {"cpu"});
  if (attribute(root, "version") != "1")
    fail(root, "expected version=\"1\" of <system>; got " + in_quotes(attribute(root, "version")));

  std::vector<std::pair<std::string, Host>> hosts;  // in file order
  for (const pugi::xml_node cpu : root.children()) {
    const std::string hash = attribute(cpu, "host_hash");
    auto host = std::find_if(hosts.begin(), hosts.end(), [&](const auto& entry) { return entry.first == hash; });
    if (host == hosts.end()) host = hosts.insert(hosts.end(), {hash, Host{}});
    read_processor(cpu, host->second);
  }
  for (auto& entry : hosts) {
    Host& host = entry.second;
    if (host.map.gpus.empty()) fail(root, "expected GPUs (<pci class=\"0x030200\">); found none");
    order_gpus(host);
    read_gpus(host);
    check_nvlinks(host);
  }
  if (hosts.empty()) fail(root, "expected <cpu> inside <system>; found none");
  for (const pugi::xml_node cpu : root.children()) {
    const std::string hash = attribute(cpu, "host_hash");
    for (const auto& entry : hosts)
      if (entry.first == hash) check_pci_links(cpu, entry.second);
  }
  NodeMap map = std::move(hosts.front().second.map);
  for (std::size_t i = 1; i < hosts.size(); ++i)
    if (const std::string difference = node_difference(map, hosts[i].second.map); !difference.empty())
      throw SpecError(file_, fmt::format("the host with host_hash {} is another node than that with {}: {}",
                                         in_quotes(hosts[i].first), in_quotes(hosts.front().first), difference));
  map.hosts = static_cast<std::int64_t>(hosts.size());
  map.file = file_;
  map.format = "NCCL topology";
  return map;
}

}  // namespace

NodeMap read_nccl_topology(const std::string& text, const std::string& file) {
  return TopologyReader(text, file).read();
}

}  // namespace foretrain
