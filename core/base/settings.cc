#include "core/base/settings.h"

#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "core/base/error.h"

namespace millrace {
namespace {

std::string EnvironmentName(const std::string& name) {
  std::string env = "MILLRACE_";
  for (const char c : name) {
    env += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return env;
}

constexpr std::string_view kIpcScheme = "ipc://";

void CheckEndpoint(const std::string& endpoint) {
  if (!endpoint.starts_with(kIpcScheme)) return;
  const size_t length = endpoint.size() - kIpcScheme.size();
  if (length >= sizeof(sockaddr_un::sun_path)) {
    throw Error(ErrorCode::kInvalidRequest,
                "the socket path '" + endpoint.substr(kIpcScheme.size()) + "' has " +
                    std::to_string(length) + " bytes, the system allows " +
                    std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                    ": choose a shorter --data-dir or give the endpoints");
  }
}

}  // namespace

struct SettingsParser::Impl {
  Impl(const std::string& program, const std::string& description) : app(description, program) {
    app.set_version_flag("--version", program + " " + std::string(kVersion));
    app.set_config("--config", "", "Read settings from this file (TOML or INI)");
    app.get_formatter()->column_width(34);
  }

  template <typename T>
  void Add(const std::string& name, T& target, const std::string& help) {
    app.add_option("--" + name, target, help)
        ->envname(EnvironmentName(name))
        ->capture_default_str();
  }

  // CLI11 prefers the configuration file to the environment; containers expect the opposite. So
  // turn variables into arguments, except for settings that the arguments set themselves.
  std::vector<std::string> WithEnvironment(int argc, char** argv) const {
    const std::vector<std::string> given(argv + 1, argv + argc);
    std::vector<std::string> all;
    for (const CLI::Option* option : app.get_options()) {
      const char* value =
          option->get_envname().empty() ? nullptr : getenv(option->get_envname().c_str());
      const std::string flag = option->get_name();
      const auto sets = [&flag](const std::string& argument) {
        return argument == flag || argument.starts_with(flag + "=");
      };
      if (value == nullptr || *value == '\0' || std::ranges::any_of(given, sets)) continue;
      all.push_back(flag + "=" + value);
    }
    all.insert(all.end(), given.begin(), given.end());
    return all;
  }

  void AddSeconds(const std::string& name, std::chrono::milliseconds& target,
                  const std::string& help, double least) {
    const auto assign = [&target](const double& seconds) {
      target = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
    };
    const double seconds = static_cast<double>(target.count()) / 1000;
    app.add_option_function<double>("--" + name, assign, help + ", in seconds")
        ->envname(EnvironmentName(name))
        ->check(CLI::Range(least, 1e9))
        ->default_str(CLI::detail::to_string(seconds));
  }

  CLI::App app;
};

SettingsParser::SettingsParser(const std::string& program, const std::string& description)
    : impl_(std::make_unique<Impl>(program, description)) {}

SettingsParser::~SettingsParser() = default;

void SettingsParser::Add(const std::string& name, std::string& target, const std::string& help) {
  impl_->Add(name, target, help);
}

void SettingsParser::Add(const std::string& name, std::filesystem::path& target,
                         const std::string& help) {
  impl_->app
      .add_option_function<std::string>(
          "--" + name, [&target](const std::string& text) { target = text; }, help)
      ->envname(EnvironmentName(name))
      ->default_str(target.string());
}

void SettingsParser::Add(const std::string& name, int& target, const std::string& help) {
  impl_->Add(name, target, help);
}

void SettingsParser::Add(const std::string& name, int64_t& target, const std::string& help) {
  impl_->Add(name, target, help);
}

void SettingsParser::Add(const std::string& name, double& target, const std::string& help) {
  impl_->Add(name, target, help);
}

void SettingsParser::Add(const std::string& name, std::chrono::milliseconds& target,
                         const std::string& help) {
  impl_->AddSeconds(name, target, help, 0.001);
}

void SettingsParser::AddFromZero(const std::string& name, std::chrono::milliseconds& target,
                                 const std::string& help) {
  impl_->AddSeconds(name, target, help, 0);
}

void SettingsParser::Add(const std::string& name, std::vector<std::string>& target,
                         const std::string& help) {
  impl_->app.add_option("--" + name, target, help)->envname(EnvironmentName(name))->delimiter(',');
}

void SettingsParser::AddFlag(const std::string& name, bool& target, const std::string& help) {
  impl_->app.add_flag("--" + name, target, help)->envname(EnvironmentName(name));
}

std::optional<int> SettingsParser::Parse(int argc, char** argv) {
  try {
    std::vector<std::string> arguments = impl_->WithEnvironment(argc, argv);
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    impl_->app.parse(std::move(arguments));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    const int status = impl_->app.exit(error);
    return status == 0 ? 0 : 2;
  }
}

void AddCommonSettings(SettingsParser& parser, CommonSettings& settings) {
  parser.Add("data-dir", settings.data_dir, "Folder of the ledger, the media and the sockets");
  parser.Add("log-level", settings.log_level, "Lowest level logged: debug, info, warning, error");
  parser.Add("client-endpoint", settings.client_endpoint,
             "ZeroMQ endpoint for clients of the broker (default: a socket in the data folder)");
  parser.Add("worker-endpoint", settings.worker_endpoint,
             "ZeroMQ endpoint for workers (default: a socket in the data folder)");
  parser.Add("event-endpoint", settings.event_endpoint,
             "ZeroMQ endpoint of the broker's events (default: a socket in the data folder)");
}

void FinishCommonSettings(CommonSettings& settings, const std::string& program) {
  StartLog(program, LogLevelFromName(settings.log_level));
  settings.data_dir = std::filesystem::absolute(settings.data_dir).lexically_normal();
  const std::filesystem::path run = settings.data_dir / "run";
  const auto fill = [&run](std::string& endpoint, const char* name) {
    if (endpoint.empty()) endpoint = std::string(kIpcScheme) + (run / name).string();
    CheckEndpoint(endpoint);
  };
  fill(settings.client_endpoint, "client.sock");
  fill(settings.worker_endpoint, "worker.sock");
  fill(settings.event_endpoint, "event.sock");
  std::filesystem::create_directories(run);
}

}  // namespace millrace
