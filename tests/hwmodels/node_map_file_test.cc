#include "hwmodels/node_map_file.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/spec_error.h"

using namespace foretrain;

namespace {

const std::string kFolder = "tests/data/topology/";

std::string text_of(const std::string& file) {
  std::ifstream stream(kFolder + file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

NodeMap read(const std::string& file) { return read_node_map(kFolder + file); }

/// What the author of `text` reads; "accepted" where it is one.
std::string message_of(const std::string& text) {
  try {
    static_cast<void>(read_node_map_text(text, "f"));
  } catch (const SpecError& error) {
    return error.what();
  }
  return "accepted";
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const auto at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), by);
}

NodeDistance to_nic(const NodeMap& map, std::size_t gpu, std::size_t nic) {
  return distance(map, map.gpus[gpu], map.nics[nic]);
}

std::string nearest(const NodeMap& map, std::int64_t gpu) {
  std::string names;
  for (const std::int32_t nic : nearest_nics(map, gpu))
    names += map.parts[static_cast<std::size_t>(map.nics[static_cast<std::size_t>(nic)])].name + " ";
  return names;
}

/// Two GPUs on one switch with a NIC, joined by four NVLinks.
const std::string kPair = R"(<system version="1">
  <cpu numaid="0" arch="x86_64" vendor="GenuineIntel" familyid="6" modelid="143">
    <pci busid="0000:01:00.0" class="0x060400" link_speed="32.0 GT/s PCIe" link_width="16">
      <pci busid="0000:02:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
        <gpu dev="0" sm="90" rank="0" gdr="1"><nvlink target="0000:03:00.0" count="4" tclass="0x030200"/></gpu>
      </pci>
      <pci busid="0000:03:00.0" class="0x030200" link_speed="32.0 GT/s PCIe" link_width="16">
        <gpu dev="1" sm="90" rank="1" gdr="1"><nvlink target="0000:02:00.0" count="4" tclass="0x030200"/></gpu>
      </pci>
      <pci busid="0000:04:00.0" class="0x020700" link_speed="32.0 GT/s PCIe" link_width="16">
        <nic><net name="mlx5_0" dev="0" speed="400000" port="1"/></nic>
      </pci>
    </pci>
  </cpu>
</system>
)";

const std::string kTable =
    "\tGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\n"
    "GPU0\t X \tNV4\tPIX\t0-63\t0\n"
    "GPU1\tNV4\t X \tPXB\t0-63\t0\n"
    "NIC0\tPIX\tPXB\t X \n";

}  // namespace

TEST_CASE("an NCCL dump: tree, NVLinks to switches, NIC, processor, widths times speeds") {
  const NodeMap map = read("nccl_topo_dump_dgxa100_EXCERPT.xml");
  CHECK(map.format == "NCCL topology");
  CHECK(map.parts.size() == 4);  // socket, switch, GPU, NIC
  CHECK(map.compute_capability == 80);
  CHECK(map.gpu_device == "0x20b0");
  CHECK(map.nvlinks_known);
  CHECK(map.nvswitch_links == std::vector<std::int32_t>{12});  // six switches, two links each
  CHECK(*map.cpu == HostCpu::amd);
  CHECK(map.socket_link / GB_per_s == doctest::Approx(16));
  CHECK(to_nic(map, 0, 0) == NodeDistance::pix);
  const NodePart& nic = map.parts[static_cast<std::size_t>(map.nics[0])];
  CHECK(nic.name == "mlx5_0");
  CHECK(nic.rate / Gbit_per_s == doctest::Approx(200));
  CHECK(nic.link / GB_per_s == doctest::Approx(31.5));  // 16 lanes of 15.75 Gb/s
}

TEST_CASE("Azure's static file: GPUs by PCI bus, each with the NIC of its processor's switch, rates of NICs unknown") {
  const NodeMap map = read("azure-ndv4-topo.xml");
  REQUIRE(map.gpus.size() == 8);
  CHECK(map.nics.size() == 8);
  CHECK_FALSE(map.nvlinks_known);
  // The file begins with bus 3; CUDA counts from bus 1, which is on NUMA node 1.
  CHECK(map.parts[static_cast<std::size_t>(map.gpus[0])].name == "0001:00:00.0");
  CHECK(map.parts[static_cast<std::size_t>(way_up(map, map.gpus[0]).back())].name == "NUMA 1");
  CHECK(nearest(map, 0) == "0101:00:00.0 0102:00:00.0 ");
  CHECK(nearest(map, 2) == "0103:00:00.0 0104:00:00.0 ");
  CHECK(map.parts[static_cast<std::size_t>(map.nics[0])].rate.base() == 0);
  CHECK(distance(map, map.gpus[0], map.gpus[1]) == NodeDistance::pix);
  CHECK(distance(map, map.gpus[0], map.gpus[2]) == NodeDistance::sys);
  const NodeMap v5 = read("azure-ndv5-topo.xml");
  CHECK(v5.gpus.size() == 8);
  CHECK(v5.socket_link / GB_per_s == doctest::Approx(22));  // model 143: Sapphire Rapids
  CHECK(distance(v5, v5.gpus[0], v5.gpus[1]) == NodeDistance::phb);
  for (std::int64_t g = 0; g < 8; ++g)
    CHECK(nearest_nics(v5, g) == std::vector<std::int32_t>{static_cast<std::int32_t>(g)});
}

TEST_CASE("AWS's static file: two GPUs share a switch and its NIC over PCIe Gen3") {
  const NodeMap map = read("aws-p4de-24xl-topo.xml");
  CHECK(map.gpus.size() == 8);
  CHECK(map.nics.size() == 4);
  CHECK(map.gpu_device == "0x20b2");
  CHECK(map.socket_link / GB_per_s == doctest::Approx(10));  // model 85: Skylake
  for (std::int64_t g = 0; g < 8; ++g)
    CHECK(nearest_nics(map, g) == std::vector<std::int32_t>{static_cast<std::int32_t>(g / 2)});
  CHECK(map.parts[static_cast<std::size_t>(map.gpus[0])].link / GB_per_s == doctest::Approx(15.75));
}

TEST_CASE("the table of nvidia-smi: NICs by number with a legend, one of them far from every GPU") {
  const NodeMap map = read("nvidia_smi_topo_m_8xh100_9nic.txt");
  CHECK(map.format == "nvidia-smi topo -m");
  REQUIRE(map.gpus.size() == 8);
  REQUIRE(map.nics.size() == 9);
  CHECK(nearest(map, 0) == "mlx5_8 ");
  CHECK(nearest(map, 3) == "mlx5_5 ");
  CHECK(nearest(map, 7) == "mlx5_1 ");
  CHECK(to_nic(map, 0, 8) == NodeDistance::pix);
  CHECK(to_nic(map, 0, 7) == NodeDistance::phb);  // NODE: another bridge of the same processor
  CHECK(to_nic(map, 0, 0) == NodeDistance::sys);
  CHECK(nics_in_use(map) == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(map.nvlinks[1] == 18);
  CHECK(map.parts[static_cast<std::size_t>(map.nics[0])].link.base() == 0);
}

TEST_CASE("the table of an old driver: NICs by name, no NUMA columns, blanks; NVLinks hide the PCIe distance") {
  const NodeMap map = read("nvidia_smi_topo_m_old_8xv100.txt");
  REQUIRE(map.nics.size() == 2);
  CHECK(nearest(map, 2) == "mlx5_0 mlx5_1 ");
  CHECK(to_nic(map, 2, 0) == NodeDistance::pix);
  CHECK(to_nic(map, 0, 0) == NodeDistance::phb);
  CHECK(to_nic(map, 5, 0) == NodeDistance::sys);
  // GPUs 0 and 1 have two NVLinks; the same processors: one socket.
  CHECK(distance(map, map.gpus[0], map.gpus[1]) == NodeDistance::phb);
  CHECK(distance(map, map.gpus[2], map.gpus[3]) == NodeDistance::pix);  // through their NICs' switch
  CHECK(map.nvlinks[0 * 8 + 1] == 2);
  CHECK(map.nvlinks[0 * 8 + 5] == 0);
}

TEST_CASE("the table of two GPUs without NICs, tabs and empty cells; PXB is two switches, SOC is SYS of old") {
  const NodeMap map = read("nvidia_smi_topo_m_2x5090.txt");
  CHECK(map.gpus.size() == 2);
  CHECK(map.nics.empty());
  CHECK(distance(map, map.gpus[0], map.gpus[1]) == NodeDistance::phb);
  const NodeMap pair = read_node_map_text(kTable, "f");
  CHECK(to_nic(pair, 0, 0) == NodeDistance::pix);
  CHECK(to_nic(pair, 1, 0) == NodeDistance::pxb);
  const NodeMap old =
      read_node_map_text("\tGPU0\tGPU1\tCPU Affinity\nGPU0\t X \tSOC\t0-9\nGPU1\tSOC\t X \t10-19\n", "f");
  CHECK(distance(old, old.gpus[0], old.gpus[1]) == NodeDistance::sys);
}

TEST_CASE("carriage returns, byte order marks and a terminal's underlining change nothing") {
  for (const std::string& text : {kTable, kPair}) {
    std::string other = "\xef\xbb\xbf";
    for (const char c : text) other += c == '\n' ? "\r\n" : std::string(1, c);
    CHECK(node_difference(read_node_map_text(text, "f"), read_node_map_text(other, "f")) == "");
  }
  CHECK(message_of(replaced(kTable, "GPU0\tGPU1", "\x1b[4mGPU0\tGPU1\x1b[0m")) == "accepted");
}

TEST_CASE("hosts of one file: equal ones are counted, others refused") {
  std::string body = kPair.substr(kPair.find("  <cpu"), kPair.find("</system>") - kPair.find("  <cpu"));
  const std::string first = replaced(body, "numaid=\"0\"", "numaid=\"0\" host_hash=\"0x1\"");
  const std::string second = replaced(body, "numaid=\"0\"", "numaid=\"0\" host_hash=\"0x2\"");
  const std::string head = "<system version=\"1\">\n", tail = "</system>\n";
  CHECK(read_node_map_text(head + first + second + tail, "f").hosts == 2);
  CHECK(
      message_of(head + first + replaced(second, "400000", "200000") + tail) ==
      "f: the host with host_hash \"0x2\" is another node than that with \"0x1\": another rate or rail of NIC mlx5_0");
}

TEST_CASE("bad topologies are refused with file, line and what was expected") {
  CHECK(message_of(kPair) == "accepted");
  const auto with = [](const std::string& what, const std::string& by) {
    return message_of(replaced(kPair, what, by));
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {with("target=\"0000:03:00.0\"", "target=\"0000:02:00.0\""), "f:5: an NVLink from GPU 0000:02:00.0 to itself"},
      {with("target=\"0000:03:00.0\"", "target=\"0000:09:00.0\""),
       "f:5: an NVLink to 0000:09:00.0, which is no GPU of this node"},
      {with("target=\"0000:03:00.0\" count=\"4\"", "target=\"0000:03:00.0\" count=\"3\""),
       "f:7: 4 NVLinks from GPU 0000:03:00.0 to 0000:02:00.0, but 3 back"},
      {with("count=\"4\"", "count=\"-4\""),
       "f:5: expected count of <nvlink> to be a whole number from 1 to 1000; got \"-4\""},
      {with("class=\"0x020700\"", "class=\"0x010802\""),
       "f:10: unknown device class \"0x010802\" of <pci>; expected 0x0302.. (GPU)"},
      {with("link_width=\"16\"", "link_width=\"0\""),
       "f:3: expected link_width of <pci> to be one of 1, 2, 4, 8, 12, 16, 32; got 0"},
      {with("link_width=\"16\"", "link_width=\"x16\""), "f:3: expected link_width of <pci> to be a whole number"},
      {with("32.0 GT/s PCIe", "0 GT/s"),
       "f:3: expected link_speed of <pci> to be 2.5, 5, 8, 16, 32 or 64 \"GT/s\"; got \"0 GT/s\""},
      {with("speed=\"400000\"", "speed=\"0\""),
       "f:11: expected speed of <net> to be a whole number from 1 to 100000000; got \"0\""},
      {with("busid=\"0000:03:00.0\"", "busid=\"0000:02:00.0\""), "f:7: PCI device 0000:02:00.0 stands twice"},
      {with("busid=\"0000:03:00.0\"", "busid=\"3\""), "f:7: expected busid of <pci> to be a PCI bus id"},
      {with("sm=\"90\" rank=\"1\"", "sm=\"80\" rank=\"1\""),
       "f:8: sm 80 beside 90: expected GPUs of one kind in a node"},
      {with("<nic>", "<nik>"), "f:11: expected XML, with every element closed; "},
      {with("<nic><net", "<nic>words<net"), "f:11: expected elements inside <nic>; got text"},
      {with("version=\"1\"", "version=\"2\""), "f:1: expected version=\"1\" of <system>; got \"2\""},
      {with("arch=\"x86_64\"", "arch=\"ppc64\""), "f:2: expected arch of <cpu> to be x86_64 or arm64; got \"ppc64\""},
      {with("<cpu numaid=\"0\"", "<cpu numaid=\"0\" numaid=\"0\""), "f:2: attribute numaid of <cpu> stands twice"},
      {with("</system>", "</system><system version=\"1\"/>"), "f:15: expected nothing but <system>; got more"},
      {with("    <pci busid=\"0000:01:00.0\"", "    <gpo/><pci busid=\"0000:01:00.0\""),
       "f:3: unknown element <gpo> inside <cpu>; expected <pci>, <nic>"},
      {with("      <pci busid=\"0000:04:00.0\"", "      <pcilink target=\"0000:77:00.0\"/><pci busid=\"0000:04:00.0\""),
       "f:10: a PCI link to 0000:77:00.0, which is not in the file"},
      {with("      <pci busid=\"0000:04:00.0\"", "      <pcilink target=\"0000:01:00.0\"/><pci busid=\"0000:04:00.0\""),
       "f:10: a PCI link from 0000:01:00.0 to itself"},
      {message_of("<system version=\"1\"></system>"), "f:1: expected <cpu> inside <system>; found none"},
      {message_of("<graphs version=\"1\"/>"), "f:1: expected <system>, as NCCL_TOPO_DUMP_FILE writes it; got <graphs>"},
      {message_of("<topology/>"), "f:1: expected <system> of an NCCL topology; got <topology>"},
      {message_of(""), "f: expected an NCCL topology or the table of `nvidia-smi topo -m`; got nothing"},
      {message_of("hello\n"), "f: expected an NCCL topology (<system ...>) or the table of `nvidia-smi topo -m`"}};
  for (const auto& [message, expected] : cases) {
    const std::string got = message, wanted = expected;
    CHECK(got.substr(0, wanted.size()) == wanted);
    CHECK(got.find('\n') == std::string::npos);
  }
}

TEST_CASE("bad tables are refused with file, line and what was expected") {
  CHECK(message_of(kTable) == "accepted");
  const auto with = [](const std::string& what, const std::string& by) {
    return message_of(replaced(kTable, what, by));
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {with("GPU1\tNV4", "GPU1\tNV2"), "f:3: GPU1 and GPU0 are joined one way here and another way in line 2"},
      {with("\tPIX\t0-63", "\tPIXX\t0-63"),
       "f:2: expected X, PIX, PXB, PHB, NODE, SYS or, of two GPUs, NV and a count between GPU0 and NIC0; got \"PIXX\""},
      {with("\tPIX\t0-63", "\tNV4\t0-63"), "f:2: expected X, PIX, PXB, PHB, NODE, SYS or, of two GPUs"},
      {with("NV4\tPIX", "NV0\tPIX"), "f:2: no NVLinks (NV0) between GPU0 and GPU1"},
      {with("NV4\tPIX", "X\tPIX"), "f:2: X of GPU0 and GPU1; X stands for a device and itself, and nowhere else"},
      {with("NIC0\tPIX\tPXB\t X \n", ""), "f:3: expected a row of NIC0 too; the table ends here"},
      {with("NIC0\tPIX\tPXB\t X \n", "NIC0\tPIX\tPXB\n"),
       "f:4: expected 3 columns after NIC0, one for each device of the header; got 2"},
      {with("NIC0\tPIX", "NIC7\tPIX"), "f:4: expected a row of a device in the header; got \"NIC7\""},
      {with("GPU1\tNV4", "GPU0\tNV4"), "f:3: a second row of GPU0"},
      {with("GPU0\tGPU1\tNIC0", "GPU0\tGPU0\tNIC0"), "f:1: device \"GPU0\" stands twice"},
      {with("\tCPU Affinity\tNUMA Affinity", ""), "f:1: expected \"CPU Affinity\" after the devices of the header"},
      // GPU0 and NIC0 below one switch, GPU1 beside it, yet GPU1 across the processors from NIC0.
      {message_of("\tGPU0\tGPU1\tNIC0\tCPU Affinity\nGPU0\tX\tPIX\tPIX\t0\nGPU1\tPIX\tX\tSYS\t0\nNIC0\tPIX\tSYS\tX\n"),
       "f:4: NIC0 and GPU1 are farther apart than what others lie between them"}};
  for (const auto& [message, expected] : cases) {
    const std::string got = message, wanted = expected;
    CHECK(got.substr(0, wanted.size()) == wanted);
    CHECK(got.find('\n') == std::string::npos);
  }
}

TEST_CASE("deep nesting, many devices and files cut anywhere end with an error, never a crash") {
  std::string deep = "<system version=\"1\"><cpu numaid=\"0\">";
  for (int i = 0; i < 100'000; ++i)
    deep += "<pci busid=\"" + std::to_string(1000 + i) +
            ":00:00.0\" class=\"0x060400\" link_width=\"16\" link_speed=\"8 GT/s\">";
  CHECK(message_of(deep).find("expected XML, with every element closed") != std::string::npos);
  std::string closed = deep;
  for (int i = 0; i < 100'000; ++i) closed += "</pci>";
  CHECK(message_of(closed + "</cpu></system>").find("expected <pci> at most 64 deep; got more") != std::string::npos);

  const std::vector<std::string> files = {"azure-ndv4-topo.xml",
                                          "azure-ndv5-topo.xml",
                                          "aws-p4de-24xl-topo.xml",
                                          "nccl_topo_dump_dgxa100_EXCERPT.xml",
                                          "dgx1_v100.xml",
                                          "nvidia_smi_topo_m_2x5090.txt",
                                          "nvidia_smi_topo_m_8xh100_9nic.txt",
                                          "nvidia_smi_topo_m_old_8xv100.txt"};
  for (const std::string& file : files) {
    const std::string text = text_of(file);
    REQUIRE(message_of(text) == "accepted");
    for (std::size_t end = 0; end < text.size(); end += 97) {
      const std::string message = message_of(text.substr(0, end));
      // A table is whole where its legend begins.
      if (message == "accepted") CHECK(file.substr(0, 6) == "nvidia");
      CHECK(message.find('\n') == std::string::npos);
    }
    for (std::size_t at = 0; at < text.size(); at += 97) {  // one byte changed
      std::string other = text;
      other[at] = static_cast<char>(other[at] ^ 0x15);
      CHECK(message_of(other).find('\n') == std::string::npos);
    }
  }
}
