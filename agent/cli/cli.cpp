#include "agent/cli/cli.h"

#include <CLI/CLI.hpp>
#include <csignal>

#include "agent/cli/command.h"
#include "agent/cli/console.h"
#include "agent/core/options.h"

namespace weir {
namespace cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  weir agent                                       start on the built-in configuration
  echo '{"stream":"log","level":"info","message":"hi"}' | weir send
  weir tail trace --where 'duration > 5ms'         follow what flows
  weir status                                      counters, lag, balance
  weir top                                         rates and lag, live
  weir doctor                                      what is wrong here, and what to do about it
  weir check weir.yaml                             every mistake, with its place
  weir plan weir.yaml                              what a reload with it would do

Exit codes: 0 done, 1 failure, 64 usage, 69 agent not reachable, 78 configuration.
`weir COMMAND --help` tells more.)";

void declare(CLI::App& app, Action& action) {
  app.footer(kExamples);
  app.set_version_flag("--version", std::string("weir ") + WEIR_VERSION, "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.require_subcommand(0, 1);
  add_agent(app, action);
  add_check(app, action);
  add_config(app, action);
  add_status(app, action);
  add_top(app, action);
  add_tail(app, action);
  add_send(app, action);
  add_plan(app, action);
  add_reload(app, action);
  add_replay(app, action);
  add_doctor(app, action);
  add_fsck(app, action);
  add_demo(app, action);
}

/// CLI11 answers a misspelt command with "not expected"; better to say which one was meant.
bool refuse_unknown_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return false;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), argv[1]) != names.end()) return false;
  const std::vector<std::string_view> known(names.begin(), names.end());
  const std::string_view near = did_you_mean(argv[1], known);
  say("weir: no command '{}'{}; `weir --help` lists them", argv[1],
      near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
  return true;
}

/// The command that was asked for, with its words: `weir config explain`.
std::pair<const CLI::App*, std::string> asked_for(const CLI::App& app) {
  const CLI::App* command = &app;
  std::string name = app.get_name();
  for (auto below = command->get_subcommands(); !below.empty(); below = command->get_subcommands()) {
    command = below.front();
    name += ' ' + command->get_name();
  }
  return {command, name};
}

std::vector<std::string> words_of(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; }))
    words.push_back(below->get_name());
  return words;
}

/// `no option '--foo' (did you mean '--for'?)`; of the first word that the command does not know.
std::string unknown_word(const CLI::App& command) {
  const std::vector<std::string> words = words_of(command), rest = command.remaining();
  const auto option = std::ranges::find_if(rest, [](const std::string& r) { return r.starts_with('-'); });
  const std::string& word = option != rest.end() ? *option : rest.at(0);
  const std::string_view near = did_you_mean(word.substr(0, word.find('=')), {words.begin(), words.end()});
  const bool has_commands = !command.get_subcommands([](const CLI::App*) { return true; }).empty();
  const std::string_view what = option != rest.end() ? "no option"
                                : has_commands       ? "no command"
                                                     : "unexpected";
  return fmt::format("{} '{}'{}", what, word, near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
}

}  // namespace
}  // namespace cli

int run_cli(int argc, char** argv) {
  using namespace cli;
  // `weir help tail` is `weir tail --help`.
  std::vector<char*> words(argv, argv + argc);
  char help[] = "--help";
  if (argc > 1 && std::string_view(argv[1]) == "help") {
    words.erase(words.begin() + 1);
    words.push_back(help);
    argv = words.data();
  }
  // A reader that went away is an error of write(), not the end of us.
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("weir - takes records in over sockets, derives their context diffs, and hands them on",
               "weir");
  Action action;
  declare(app, action);
  if (refuse_unknown_command(app, argc, argv)) return kUsage;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    const auto [command, name] = asked_for(app);
    const bool unknown = !command->remaining().empty() && (dynamic_cast<const CLI::ExtrasError*>(&e) ||
                                                           dynamic_cast<const CLI::RequiredError*>(&e));
    say("{}: {}; `{} --help` shows the options", name, unknown ? unknown_word(*command) : e.what(), name);
    return kUsage;
  }
  if (!action) {
    write_err(app.help());
    return kUsage;
  }
  try {
    return action();
  } catch (const std::exception& e) {
    say("{}: {}", asked_for(app).second, e.what());
    return kFailure;
  }
}

}  // namespace weir
