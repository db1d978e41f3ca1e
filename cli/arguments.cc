#include "cli/arguments.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/spec_error.h"
#include "base/text.h"
#include "cli/choices.h"
#include "cli/command_help.h"
#include "cli/output.h"
#include "cli/subcommands.h"

namespace foretrain::cli {
namespace {

/// CLI11 2.1 has an overload for descriptions in `const char*` that two literals make ambiguous: texts are strings.
using Text = std::string;

void add_format(CLI::App& app, Format& format) {
  static constexpr std::array<std::string_view, 2> names = {"text", "json"};
  const auto set = [&format](const std::string& word) {
    format = static_cast<Format>(choose(word, names, "--format", "format"));
  };
  app.add_option_function<std::string>("--format", set, Text("how results are written"))->type_name("text|json");
}

/// An option that names a file or folder; an empty name is a slip of a script's variable.
void add_path(CLI::App& app, const Text& flag, std::string& path, const Text& what) {
  const auto check = [](const std::string& name) {
    return name.empty() ? std::string("expected the name of a file; got \"\"") : std::string();
  };
  app.add_option(flag, path, what)->check(check)->type_name("FILE");
}

void add_job(CLI::App& app, JobOptions& job, const Text& what) {
  app.add_option("JOB", job.file, what)->required();
  app.add_option("--set", job.overrides, Text("override a key of the job: path.to.key=value (repeatable)"))
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  add_path(app, "--calibration", job.calibration, "correct times by this file of foretrain calibrate");
  app.add_option("--from", job.from, Text("JOB is a trainer's own configuration (foretrain list importers)"))
      ->type_name("NAME");
  app.add_option("--cluster", job.cluster, Text("with --from: a node or cluster by name, a file, or JSON"));
}

void add_count(CLI::App& app, const Text& flag, std::int32_t& count, std::int32_t least, const Text& what) {
  app.add_option(flag, count, what)->check(CLI::Range(least, 1'000'000));
}

void add_size(CLI::App& app, const Text& flag, std::int64_t& size, const Text& what) {
  app.add_option(flag, size, what)->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000'000}));
}

/// Options live as long as the action that reads them.
template <typename Options>
Action action_of(std::shared_ptr<Options> options, int (*run)(const Options&)) {
  return [options = std::move(options), run] { return run(*options); };
}

Action add_plan(CLI::App& app) {
  auto o = std::make_shared<PlanOptions>();
  add_job(app, o->job, "the job's file");
  app.add_option("--trainer", o->trainer, Text("leave out what this trainer would not launch"))->type_name("NAME");
  add_count(app, "--top", o->top, 1, "how many plans to show and keep");
  add_count(app, "--jobs", o->threads, 0, "threads; 0 = all cores");
  add_path(app, "-o,--output", o->output, "write the plans to this file");
  add_path(app, "--trace", o->trace,
           "write the best plan's timeline to this file (JSON for Perfetto and chrome; .pftrace: protobuf)");
  add_path(app, "--report", o->report, "write a report with charts to this file (HTML, one file for any browser)");
  app.add_flag("-q,--quiet", o->quiet, Text("the winner in one line, and no progress"));
  app.add_flag("-v,--verbose", o->verbose, Text("also known troubles, and what 1 % more of each resource does"));
  add_format(app, o->format);
  return action_of(o, plan);
}

Action add_simulate(CLI::App& app) {
  auto o = std::make_shared<SimulateOptions>();
  add_job(app, o->job, "a job with a plan, or a plan file");
  add_count(app, "--plan", o->plan, 1, "which plan of a plan file");
  add_path(app, "-o,--output", o->output, "write the result to this file");
  add_path(app, "--trace", o->trace,
           "write the timeline to this file (JSON for Perfetto and chrome; .pftrace: protobuf)");
  add_path(app, "--report", o->report, "write a report with charts to this file (HTML, one file for any browser)");
  app.add_flag("--unfold", o->unfold, Text("simulate every rank by itself, and its messages on the cluster's network"));
  add_path(app, "--graph", o->graph, "write the step, kernel by kernel, to this file (foretrain-gpu runs it)");
  app.add_option("--rank", o->rank, Text("with --graph: the rank whose stage is written, or all"))
      ->type_name("RANK|all");
  add_format(app, o->format);
  return action_of(o, simulate);
}

Action add_memory(CLI::App& app) {
  auto o = std::make_shared<MemoryOptions>();
  add_job(app, o->job, "a job with a plan, or a plan file");
  add_count(app, "--plan", o->plan, 1, "which plan of a plan file");
  add_format(app, o->format);
  return action_of(o, memory);
}

Action add_explain(CLI::App& app) {
  auto o = std::make_shared<ExplainOptions>();
  app.add_option("PLANS", o->job.file, Text("a plan file"))->required();
  add_count(app, "--plan", o->plan, 1, "the plan to explain");
  add_count(app, "--against", o->against, 1, "the plan to set beside it; the best other one when left out");
  add_path(app, "--calibration", o->job.calibration, "correct times by this file of foretrain calibrate");
  add_count(app, "--jobs", o->threads, 0, "threads; 0 = all cores");
  add_format(app, o->format);
  return action_of(o, explain);
}

Action add_export(CLI::App& app) {
  auto o = std::make_shared<ExportOptions>();
  app.add_option("PLANS", o->job.file, Text("a plan file, or a job with a plan"))->required();
  app.add_option("--to", o->to, Text("the trainer's format (foretrain list exporters)"))->required()->type_name("NAME");
  add_count(app, "--plan", o->plan, 1, "which plan of a plan file");
  app.add_option("--set", o->job.overrides, Text("override a key of the job: path.to.key=value (repeatable)"))
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  add_path(app, "-o,--output", o->output, "write into this file instead of stdout");
  return action_of(o, export_plan);
}

Action add_model(CLI::App& app) {
  auto o = std::make_shared<ModelOptions>();
  app.add_option("CONFIG", o->model, Text("a config.json, or a model's name"))->required();
  add_size(app, "--sequence", o->sequence_length, "tokens in a sequence, for FLOPs per token");
  add_format(app, o->format);
  return action_of(o, model);
}

Action add_collective(CLI::App& app) {
  auto o = std::make_shared<CollectiveOptions>();
  app.add_option("OP", o->op, Text("all_reduce, all_gather, ... (foretrain list collectives)"))->required();
  app.add_option("--cluster", o->cluster, Text("a cluster or node by name, a file (also a topology's), or JSON"))
      ->required();
  add_size(app, "--ranks", o->ranks, "GPUs that take part; all of the cluster when left out");
  add_size(app, "--ranks-per-node", o->ranks_per_node, "of these in one NVLink domain; as many as fit when left out");
  add_size(app, "--groups", o->groups_sharing_nics, "equal groups that share the nodes' NICs at the same time");
  app.add_option("--bytes", o->sizes, Text("sizes as nccl-tests counts them: 1MiB,1GiB"));
  app.add_option("--log", o->logs,
                 Text("nccl-tests output (text or -J JSON) to set the prediction beside (repeatable)"))
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--algorithm", o->algorithm, Text("force some, as NCCL_ALGO does: ring, \"tree,ring\", ^nvls"));
  app.add_option("--protocol", o->protocol, Text("force some, as NCCL_PROTO does: ll, ^ll128"));
  add_format(app, o->format);
  return action_of(o, collective);
}

Action add_kernel(CLI::App& app) {
  auto o = std::make_shared<KernelOptions>();
  app.add_option("KIND", o->kind, Text("gemm, attention, rms_norm, ... (foretrain list kernels)"))->required();
  app.add_option("--gpu", o->gpu, Text("a GPU by name"))->required();
  app.add_option("--dtype", o->dtype, Text("bf16, fp16, fp8, fp4, tf32 or fp32"));
  add_size(app, "--m", o->m, "gemm: rows of the result");
  add_size(app, "--n", o->n, "gemm: columns of the result");
  add_size(app, "--k", o->k, "gemm: inner dimension");
  app.add_option("--layout", o->layout, Text("gemm: tn, nn or nt"));
  add_size(app, "--batch", o->batch, "gemm: how many; attention: sequences");
  add_size(app, "--seq-q", o->seq_q, "attention: queries");
  add_size(app, "--seq-kv", o->seq_kv, "attention: keys; as many as queries when left out");
  add_size(app, "--heads-q", o->heads_q, "attention: query heads");
  add_size(app, "--heads-kv", o->heads_kv, "attention: key heads; as many as query heads when left out");
  add_size(app, "--head-dim", o->head_dim, "attention: width of a head");
  app.add_flag("--not-causal", o->not_causal, Text("attention: every query sees every key"));
  app.add_flag("--backward", o->backward, Text("attention and memory kernels: the backward pass"));
  add_size(app, "--rows", o->rows, "memory kernels: rows");
  add_size(app, "--cols", o->cols, "memory kernels: columns");
  add_format(app, o->format);
  return action_of(o, kernel);
}

Action add_compare(CLI::App& app) {
  auto o = std::make_shared<CompareOptions>();
  app.add_option("FILE", o->files, Text("files of runs, kernels (CSV), collectives (JSON) or nccl-tests logs"));
  app.add_flag("--rows", o->rows, Text("show every row, not only sums"));
  add_path(app, "--calibration", o->calibration, "correct predictions by this file of foretrain calibrate");
  app.add_option("--fail-above", o->fail_above, Text("exit 1 when the mean error of any quantity is above this: 0.12"))
      ->check(CLI::Range(0.0, 1e6));
  add_path(app, "--accuracy", o->accuracy,
           "write ACCURACY.md and its figures for the published measurements "
           "into this folder");
  add_count(app, "--jobs", o->threads, 0, "threads; 0 = all cores");
  add_format(app, o->format);
  return action_of(o, compare);
}

Action add_calibrate(CLI::App& app) {
  auto o = std::make_shared<CalibrateOptions>();
  app.add_option("FILE", o->files,
                 Text("measurements: foretrain validate, nccl-tests (text, -J), Kineto traces, kernels (CSV)"))
      ->required();
  add_path(app, "-o,--output", o->output, "write the calibration into this file");
  app.add_option("--gpu", o->gpu,
                 Text("fit this GPU only; files that name none or an unknown one are taken to be of it"));
  app.add_option("--cluster", o->cluster, Text("where collectives ran: a node or cluster by name, or JSON"));
  app.add_option("--op", o->op, Text("the operation of logs that do not name it"));
  add_size(app, "--ranks", o->ranks, "ranks of logs that do not list them");
  add_size(app, "--ranks-per-node", o->ranks_per_node, "of these in one NVLink domain");
  app.add_option("--framework", o->framework, Text("whose host code traces show: launch times are then fitted too"));
  app.add_option("--holdout", o->holdout, Text("share of rows, chosen by hash, that only judge: 0.3"))
      ->check(CLI::Range(0.0, 0.9));
  app.add_option("--seed", o->seed, Text("which rows --holdout chooses"))
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000'000}));
  add_format(app, o->format);
  return action_of(o, calibrate);
}

Action add_validate(CLI::App& app) {
  auto o = std::make_shared<ValidateOptions>();
  app.add_option("PLANS", o->job.file, Text("a plan file, or a job with a plan"))->required();
  app.add_option("--set", o->job.overrides, Text("override a key of the job: path.to.key=value (repeatable)"))
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  add_path(app, "--calibration", o->job.calibration, "correct times by this file of foretrain calibrate");
  add_count(app, "--plan", o->plan, 1, "which plan of a plan file");
  app.add_flag("--kernels", o->kernels, Text("each distinct kernel by itself"));
  app.add_flag("--collectives", o->collectives, Text("each distinct collective"));
  app.add_flag("--step", o->step, Text("whole steps; these three when none is named"));
  app.add_flag("--correctness", o->correctness, Text("parallel execution against an unsharded reference"));
  app.add_flag("--dry-run", o->dry_run, Text("say what would run and how long it takes; needs no GPU"));
  app.add_option("--rank", o->rank, Text("the rank to run by itself; left out: all, where there are GPUs for them"))
      ->type_name("RANK|all");
  add_path(app, "-o,--output", o->output, "write the measurements to this file");
  add_count(app, "--samples", o->samples, 3, "of each kernel and collective, and of steps at most");
  add_count(app, "--ranks-per-gpu", o->ranks_per_gpu, 1, "NCCL ranks that share a GPU: right results, no times");
  app.add_option("--time-limit", o->time_limit, Text("seconds after which it ends with what it has"))
      ->check(CLI::Range(1.0, 1e6));
  add_format(app, o->format);
  return action_of(o, validate);
}

Action add_list(CLI::App& app) {
  auto o = std::make_shared<ListOptions>();
  app.add_option("WHAT", o->what, Text("gpus, nodes, clusters, models, ...; leave out to see all"));
  app.add_option("NAME", o->name, Text("one of them, with every number and its source"));
  app.add_option("--cluster", o->cluster,
                 Text("with clusters: show this one as it is read: a name, a file (also a topology's), or JSON"));
  add_format(app, o->format);
  return action_of(o, list);
}

std::vector<CommandHelp> all_commands();

Action add_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, Text("bash, zsh or fish"))->required();
  return [shell] {
    static constexpr std::array<std::string_view, 3> shells = {"bash", "zsh", "fish"};
    constexpr std::array scripts = {bash_completion, zsh_completion, fish_completion};
    print(scripts[choose(*shell, shells, "SHELL", "shell")](all_commands()));
    return kDone;
  };
}

Action add_man(CLI::App&) {
  return [] {
    print(man_page(all_commands(), FORETRAIN_VERSION));
    return kDone;
  };
}

/// One row a subcommand: help, errors and parsing walk this table.
struct Subcommand {
  std::string_view name, summary, example;
  Action (*add_options)(CLI::App&);
};
constexpr std::array kSubcommands = {
    Subcommand{"plan", "search all plans of a job and rank them", "foretrain plan job.json -o plan.json", add_plan},
    Subcommand{"simulate", "predict one plan", "foretrain simulate job.json --trace step.json", add_simulate},
    Subcommand{"memory", "what lies in each stage's memory", "foretrain memory job.json --set plan.recompute=full",
               add_memory},
    Subcommand{"explain", "why one plan is faster than another", "foretrain explain plan.json --against 3",
               add_explain},
    Subcommand{"export", "a plan as a trainer's configuration",
               "foretrain export plan.json --to megatron-lm -o pretrain.sh", add_export},
    Subcommand{"model", "parameters, FLOPs and shapes of a model", "foretrain model llama-3.1-70b", add_model},
    Subcommand{"collective", "time of a collective",
               "foretrain collective all_reduce --cluster dgx-h100 --ranks 16 --bytes 1MiB,1GiB", add_collective},
    Subcommand{"kernel", "time of a GPU kernel",
               "foretrain kernel gemm --gpu h100-sxm5-80gb --m 8192 --n 8192 --k 8192", add_kernel},
    Subcommand{"compare", "predicted against measured", "foretrain compare runs.json --rows", add_compare},
    Subcommand{"calibrate", "fit a calibration to measurements",
               "foretrain calibrate measurements.json -o calibration.json --holdout 0.3", add_calibrate},
    Subcommand{"validate", "run a plan on the GPUs present, predicted beside measured",
               "foretrain validate plan.json --dry-run", add_validate},
    Subcommand{"list", "what the catalogue holds, with sources", "foretrain list gpus", add_list},
    Subcommand{"completion", "completes command lines in bash, zsh or fish", "source <(foretrain completion bash)",
               add_completion},
    Subcommand{"man", "this program's man page", "foretrain man | man -l -", add_man},
};

/// What CLI11 knows of a value: the name it was given, or what its type is called; without its limits.
std::string value_name(const CLI::Option& option) {
  const std::string type = option.get_type_name().substr(0, option.get_type_name().find(':'));
  if (option.get_items_expected_max() == 0) return "";  // a flag
  if (type == "INT" || type == "UINT") return "N";
  if (type == "FLOAT") return "X";
  return type == "TEXT" ? "NAME" : type;
}

/// What `app` takes, as CLI11 was told.
CommandHelp command_help(const Subcommand& row, const CLI::App& app) {
  CommandHelp command{.name = std::string(row.name),
                      .summary = std::string(row.summary),
                      .example = std::string(row.example),
                      .arguments = {},
                      .options = {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      command.arguments.push_back({.name = option->get_name(),
                                   .what = option->get_description(),
                                   .required = option->get_required(),
                                   .many = option->get_items_expected_max() > 1});
      continue;
    }
    if (option == app.get_help_ptr()) continue;
    OptionHelp help{.flags = {},
                    .value = value_name(*option),
                    .what = option->get_description(),
                    .required = option->get_required()};
    for (const std::string& name : option->get_snames()) help.flags.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) help.flags.push_back("--" + name);
    command.options.push_back(std::move(help));
  }
  return command;
}

std::vector<CommandHelp> all_commands() {
  CLI::App app;
  std::vector<CommandHelp> commands;
  for (const Subcommand& row : kSubcommands) {
    CLI::App* sub = app.add_subcommand(std::string(row.name), std::string(row.summary));
    row.add_options(*sub);
    commands.push_back(command_help(row, *sub));
  }
  return commands;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string nearest = likely_name(word, known);
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
}

/// The first word that is no option must name a subcommand.
void check_subcommand(int argc, const char* const* argv) {
  if (argc < 2) throw SpecError("no command given", "foretrain --help lists them");
  const std::string_view word = argv[1];
  if (word.substr(0, 1) == "-") return;
  std::vector<std::string> known;
  for (const Subcommand& row : kSubcommands) known.emplace_back(row.name);
  if (std::find(known.begin(), known.end(), word) != known.end()) return;
  throw SpecError(fmt::format("unknown command {}", in_quotes(word)),
                  fmt::format("known: {}{}", fmt::join(known, ", "), did_you_mean(word, known)));
}

/// What CLI11 did not recognise, with the nearest option of the subcommand.
void check_extras(const CLI::App& app, const std::string& where) {
  const std::vector<std::string> extras = app.remaining();
  if (extras.empty()) return;
  const std::string word = extras.front().substr(0, extras.front().find('='));
  if (word.substr(0, 1) != "-") throw SpecError(where, "one argument too many: " + in_quotes(word));
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  throw SpecError(where, fmt::format("unknown option {}{}", in_quotes(word), did_you_mean(word, known)));
}

Action show(std::string text) {
  return [text = std::move(text)] {
    print(text);
    return kDone;
  };
}

}  // namespace

Action parse_arguments(int argc, const char* const* argv) {
  if (argc > 1 && std::string_view(argv[1]) == "help") {  // foretrain help plan: as foretrain plan --help
    const std::array<const char*, 3> asked = {argv[0], argc > 2 ? argv[2] : "--help", "--help"};
    return parse_arguments(argc > 2 ? 3 : 2, asked.data());
  }
  check_subcommand(argc, argv);
  CLI::App app("Foretrain: know how your training run will go before it starts.", "foretrain");
  const Text version = "foretrain " FORETRAIN_VERSION;
  app.set_version_flag("--version", version);
  app.allow_extras();
  app.require_subcommand(0, 1);  // a second command's name is an argument too many
  std::vector<std::pair<CLI::App*, Action>> actions;
  for (const Subcommand& row : kSubcommands) {
    CLI::App* sub = app.add_subcommand(std::string(row.name), std::string(row.summary));
    sub->allow_extras();
    actions.emplace_back(sub, row.add_options(*sub));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const std::vector<CommandHelp> commands = all_commands();
    for (std::size_t i = 0; i < actions.size(); ++i)
      if (actions[i].first->parsed()) return show(help_of(commands[i]));
    return show(overview(commands));
  } catch (const CLI::CallForVersion&) {
    return show(version + "\n");
  } catch (const CLI::ParseError& error) {
    for (const auto& entry : actions) {
      if (!entry.first->parsed()) continue;
      check_extras(*entry.first, entry.first->get_name());
      throw SpecError(entry.first->get_name(), one_line(error.what()));
    }
    throw SpecError("command line", one_line(error.what()));
  }
  check_extras(app, "command line");
  for (const auto& entry : actions) {
    if (!entry.first->parsed()) continue;
    check_extras(*entry.first, entry.first->get_name());
    return entry.second;
  }
  throw SpecError("command line", "unknown option " + in_quotes(argv[1]) + "; foretrain --help lists what there is");
}

}  // namespace foretrain::cli
