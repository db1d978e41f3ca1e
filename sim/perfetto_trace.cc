#include "sim/perfetto_trace.h"

#include <algorithm>
#include <numeric>
#include <ostream>

#include "sim/proto_message.h"

namespace foretrain::sim {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

// Field numbers, by message.
namespace trace {
constexpr std::uint32_t kPacket = 1;
}
namespace packet {
constexpr std::uint32_t kTimestamp = 8, kSequence = 10, kTrackEvent = 11, kInternedData = 12, kSequenceFlags = 13,
                        kTrackDescriptor = 60;
constexpr std::int64_t kStateCleared = 1, kNeedsState = 2;  // SequenceFlags
}  // namespace packet
namespace descriptor {
constexpr std::uint32_t kUuid = 1, kName = 2, kProcess = 3, kThread = 4, kParent = 5, kCounter = 8, kRank = 12,
                        kDescription = 14, kProcessOrdering = 19, kThreadOrdering = 20;
constexpr std::int64_t kExplicit = 1;  // ProcessOrdering, ThreadOrdering
}  // namespace descriptor
namespace process {
constexpr std::uint32_t kPid = 1, kSortIndex = 3, kName = 6, kLabels = 8;
}
namespace thread {
constexpr std::uint32_t kPid = 1, kTid = 2, kName = 5;
}
namespace counter {
constexpr std::uint32_t kUnit = 3, kUnitName = 6;
constexpr std::int64_t kBytes = 3;  // Unit
}  // namespace counter
namespace event {
constexpr std::uint32_t kCategory = 3, kAnnotation = 4, kType = 9, kName = 10, kTrack = 11, kCounterValue = 30,
                        kFlow = 47, kEndingFlow = 48;
constexpr std::int64_t kBegin = 1, kEnd = 2, kCounter = 4;  // Type
}  // namespace event
namespace annotation {
constexpr std::uint32_t kName = 1, kInt = 4, kString = 6;
}
namespace interned {
constexpr std::uint32_t kCategories = 1, kEventNames = 2, kAnnotationNames = 3;
constexpr std::uint32_t kId = 1, kName = 2;  // of each entry
}  // namespace interned

constexpr std::int64_t kSequenceId = 1;
/// Interned names of annotations; 0 is no name.
enum AnnotationName : std::int64_t { task_name = 1, index_name, part_name, bytes_name, label_name };

class PerfettoWriter {
 public:
  PerfettoWriter(const TaskGraph& graph, const Timeline& timeline, std::ostream& out, const TraceOptions& options)
      : graph_(graph), content_(graph, timeline, options), out_(out), options_(options) {}

  void write() {
    write_names();
    write_tracks();
    write_slices();
    write_memory();
    write_links();
    flush();
  }

 private:
  static constexpr std::size_t kFlushAt = 1 << 16;

  // Tracks are numbered: processes, the network, threads, memory, links. Number 0 is the root.
  [[nodiscard]] std::int64_t devices() const { return static_cast<std::int64_t>(graph_.devices().size()); }
  [[nodiscard]] std::int64_t memory_tracks() const {
    return static_cast<std::int64_t>(graph_.memory_labels().size()) + 1;
  }
  [[nodiscard]] std::int64_t process_track(std::int64_t device) const { return 1 + device; }
  [[nodiscard]] std::int64_t network_track() const { return 1 + devices(); }
  [[nodiscard]] std::int64_t thread_track(std::int64_t lane) const { return network_track() + 1 + lane; }
  /// Of one label; after the last label, of all.
  [[nodiscard]] std::int64_t memory_track(std::int64_t device, std::int64_t label) const {
    return thread_track(static_cast<std::int64_t>(graph_.lanes().size())) + device * memory_tracks() + label;
  }
  [[nodiscard]] std::int64_t link_track(std::int64_t link) const { return memory_track(devices(), 0) + link; }

  void add(const ProtoMessage& packet) {
    ProtoMessage framed;
    framed.message(trace::kPacket, packet);
    text_ += framed.bytes();
    if (text_.size() > kFlushAt) flush();
  }
  void flush() {
    out_.write(text_.data(), static_cast<std::streamsize>(text_.size()));
    text_.clear();
  }

  void write_names();
  void write_tracks();
  void write_process(std::int64_t track, std::int64_t pid, const std::string& name, std::int64_t alike);
  void write_thread(LaneId lane);
  void write_counter_track(std::int64_t track, std::int64_t parent, const std::string& name, bool is_rate);
  void write_slices();
  void write_begin(TaskId id, const ProtoMessage& flows);
  void write_memory();
  void write_links();
  void write_counter(std::int64_t track, std::int64_t time, std::int64_t value);
  void write_event(std::int64_t time, const ProtoMessage& event);

  const TaskGraph& graph_;
  TraceContent content_;
  std::ostream& out_;
  const TraceOptions& options_;
  std::string text_;
};

/// The first packet: all that later ones refer to by number, and the order of tracks.
void PerfettoWriter::write_names() {
  ProtoMessage names;
  const auto add_name = [&](std::uint32_t table, std::int64_t id, std::string_view name) {
    ProtoMessage entry;
    entry.number(interned::kId, id);
    entry.text(interned::kName, name);
    names.message(table, entry);
  };
  for (std::size_t i = 0; i < kLaneKindNames.size(); ++i)
    add_name(interned::kCategories, static_cast<std::int64_t>(i) + 1, kLaneKindNames[i]);
  for (std::size_t i = 0; i < content_.names().size(); ++i)
    add_name(interned::kEventNames, static_cast<std::int64_t>(i) + 1, content_.names()[i]);
  add_name(interned::kAnnotationNames, task_name, "task");
  add_name(interned::kAnnotationNames, index_name, options_.index_name);
  add_name(interned::kAnnotationNames, part_name, options_.part_name);
  add_name(interned::kAnnotationNames, bytes_name, "bytes");
  add_name(interned::kAnnotationNames, label_name, "label");
  ProtoMessage root;
  root.number(descriptor::kUuid, 0);
  root.number(descriptor::kProcessOrdering, descriptor::kExplicit);
  root.number(descriptor::kThreadOrdering, descriptor::kExplicit);
  ProtoMessage first;
  first.number(packet::kSequence, kSequenceId);
  first.number(packet::kSequenceFlags, packet::kStateCleared);
  first.message(packet::kInternedData, names);
  first.message(packet::kTrackDescriptor, root);
  add(first);
}

void PerfettoWriter::write_tracks() {
  for (std::int64_t d = 0; d < devices(); ++d) {
    if (!content_.shows(static_cast<DeviceId>(d))) continue;
    const Device& device = graph_.devices()[static_cast<std::size_t>(d)];
    write_process(process_track(d), d + 1, device.name, device.multiplicity);
    for (std::int64_t m = 0; m + 1 < memory_tracks(); ++m)
      write_counter_track(memory_track(d, m), process_track(d),
                          "memory: " + graph_.memory_labels()[static_cast<std::size_t>(m)], false);
    if (memory_tracks() > 1)
      write_counter_track(memory_track(d, memory_tracks() - 1), process_track(d), "memory", false);
  }
  for (std::size_t l = 0; l < graph_.lanes().size(); ++l)
    if (content_.shows(graph_.lanes()[l].device)) write_thread(static_cast<LaneId>(l));
  const std::vector<LinkId> links = content_.links();
  if (links.empty()) return;
  write_process(network_track(), devices() + 1, "network", 1);
  for (const LinkId link : links)
    write_counter_track(link_track(link), network_track(), graph_.links()[at(link)].name, true);
}

void PerfettoWriter::write_process(std::int64_t track, std::int64_t pid, const std::string& name, std::int64_t alike) {
  ProtoMessage own;
  own.number(process::kPid, pid);
  own.number(process::kSortIndex, pid);
  own.text(process::kName, name);
  if (alike > 1) own.text(process::kLabels, "one of " + std::to_string(alike) + " alike");
  std::string description;
  for (const auto& [key, value] : options_.metadata)
    description += (description.empty() ? "" : "; ") + key + ": " + value;
  ProtoMessage d;
  d.number(descriptor::kUuid, track);
  d.message(descriptor::kProcess, own);
  d.number(descriptor::kRank, pid);
  if (!description.empty()) d.text(descriptor::kDescription, description);
  ProtoMessage p;
  p.number(packet::kSequence, kSequenceId);
  p.message(packet::kTrackDescriptor, d);
  add(p);
}

/// Thread numbers are unique over all processes, and none is a process's number: those name main threads.
void PerfettoWriter::write_thread(LaneId lane) {
  const Lane& l = graph_.lanes()[at(lane)];
  ProtoMessage own;
  own.number(thread::kPid, l.device + 1);
  own.number(thread::kTid, devices() + 2 + lane);
  own.text(thread::kName, l.name);
  ProtoMessage d;
  d.number(descriptor::kUuid, thread_track(lane));
  d.number(descriptor::kParent, process_track(l.device));
  d.message(descriptor::kThread, own);
  d.number(descriptor::kRank, content_.thread_of(lane));
  ProtoMessage p;
  p.number(packet::kSequence, kSequenceId);
  p.message(packet::kTrackDescriptor, d);
  add(p);
}

void PerfettoWriter::write_counter_track(std::int64_t track, std::int64_t parent, const std::string& name,
                                         bool is_rate) {
  ProtoMessage own;
  if (is_rate)
    own.text(counter::kUnitName, "bytes/s");
  else
    own.number(counter::kUnit, counter::kBytes);
  ProtoMessage d;
  d.number(descriptor::kUuid, track);
  d.text(descriptor::kName, name);
  d.number(descriptor::kParent, parent);
  d.message(descriptor::kCounter, own);
  ProtoMessage p;
  p.number(packet::kSequence, kSequenceId);
  p.message(packet::kTrackDescriptor, d);
  add(p);
}

void PerfettoWriter::write_event(std::int64_t time, const ProtoMessage& event) {
  ProtoMessage p;
  p.number(packet::kTimestamp, time);
  p.number(packet::kSequence, kSequenceId);
  p.number(packet::kSequenceFlags, packet::kNeedsState);
  p.message(packet::kTrackEvent, event);
  add(p);
}

/// Beginning and end of each task. A viewer takes the first slice with a flow's number as where it comes from.
void PerfettoWriter::write_slices() {
  const std::vector<TraceArrow>& arrows = content_.arrows();
  std::vector<std::size_t> by_before(arrows.size());
  std::iota(by_before.begin(), by_before.end(), 0);
  std::vector<std::size_t> by_after = by_before;
  std::stable_sort(by_before.begin(), by_before.end(),
                   [&](std::size_t a, std::size_t b) { return arrows[a].before < arrows[b].before; });
  std::stable_sort(by_after.begin(), by_after.end(),
                   [&](std::size_t a, std::size_t b) { return arrows[a].after < arrows[b].after; });
  std::size_t next_before = 0, next_after = 0;
  for (TaskId id = 0; id < graph_.task_count(); ++id) {
    if (!content_.shows_task(id)) continue;
    ProtoMessage event;
    event.number(event::kType, event::kBegin);
    event.number(event::kTrack, thread_track(graph_.lane_of(id)));
    for (; next_before < by_before.size() && arrows[by_before[next_before]].before == id; ++next_before)
      event.fixed64(event::kFlow, by_before[next_before] + 1);
    for (; next_after < by_after.size() && arrows[by_after[next_after]].after == id; ++next_after)
      event.fixed64(event::kEndingFlow, by_after[next_after] + 1);
    write_begin(id, event);
    ProtoMessage end;
    end.number(event::kType, event::kEnd);
    end.number(event::kTrack, thread_track(graph_.lane_of(id)));
    write_event(content_.end_of(id), end);
  }
}

/// `event` has type, track and flows.
void PerfettoWriter::write_begin(TaskId id, const ProtoMessage& flows) {
  const TaskSpec task = graph_.task(id);
  ProtoMessage event = flows;
  const auto annotate = [&](std::int64_t name, std::int64_t value) {
    ProtoMessage own;
    own.number(annotation::kName, name);
    own.number(annotation::kInt, value);
    event.message(event::kAnnotation, own);
  };
  event.number(event::kCategory, static_cast<std::int64_t>(graph_.lanes()[at(task.lane)].kind) + 1);
  event.number(event::kName, static_cast<std::int64_t>(content_.name_of(task)) + 1);
  annotate(task_name, id);
  if (task.index != kNone) annotate(index_name, task.index);
  if (task.part != kNone) annotate(part_name, task.part);
  if (task.flow.base() > 0) annotate(bytes_name, static_cast<std::int64_t>(task.flow.base()));
  if (content_.is_named_by_payload(task)) {
    ProtoMessage own;
    own.number(annotation::kName, label_name);
    own.text(annotation::kString, graph_.labels()[at(task.label)].name);
    event.message(event::kAnnotation, own);
  }
  write_event(content_.start_of(id), event);
}

void PerfettoWriter::write_counter(std::int64_t track, std::int64_t time, std::int64_t value) {
  ProtoMessage event;
  event.number(event::kType, event::kCounter);
  event.number(event::kTrack, track);
  event.number(event::kCounterValue, value);
  write_event(time, event);
}

/// Labels that change, and the sum where it changes; all of them at the beginning.
void PerfettoWriter::write_memory() {
  for (DeviceId d = 0; d < static_cast<DeviceId>(devices()); ++d) {
    if (!content_.shows(d)) continue;
    std::vector<std::int64_t> shown;  // [memory label], and all
    content_.visit_memory(d, [&](std::int64_t time, std::span<const std::int64_t> level) {
      std::vector<std::int64_t> now(level.begin(), level.end());
      now.push_back(std::accumulate(level.begin(), level.end(), std::int64_t{0}));
      for (std::size_t m = 0; m < now.size(); ++m)
        if (shown.empty() || now[m] != shown[m] || time == content_.end())
          write_counter(memory_track(d, static_cast<std::int64_t>(m)), time, now[m]);
      shown = std::move(now);
    });
  }
}

void PerfettoWriter::write_links() {
  for (const LinkId link : content_.links())
    content_.visit_link(link,
                        [&](std::int64_t time, std::int64_t rate) { write_counter(link_track(link), time, rate); });
}

}  // namespace

void write_perfetto_trace(const TaskGraph& graph, const Timeline& timeline, std::ostream& out,
                          const TraceOptions& options) {
  PerfettoWriter(graph, timeline, out, options).write();
}

}  // namespace foretrain::sim
