#include "core/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/json_text.h"

namespace millrace {
namespace {

std::string program_name = "millrace";  // constant after StartLog

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("millrace",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    return made;
  }();
  return *logger;
}

}  // namespace

void StartLog(std::string_view program, LogLevel lowest) {
  program_name = program;
  Logger().set_level(SpdlogLevel(lowest));
}

void Log(LogLevel level, std::string_view message, const nlohmann::json& fields) {
  if (!Logger().should_log(SpdlogLevel(level))) return;
  nlohmann::ordered_json line;
  line["time"] = FormatTime(SystemClock().WallNow());
  line["level"] = NameOf(level);
  line["program"] = program_name;
  line["message"] = message;
  for (const auto& [key, value] : fields.items()) line[key] = value;
  Logger().log(SpdlogLevel(level), ToText(line));
}

LogLevel LogLevelFromName(std::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (name == NameOf(level)) return level;
  }
  throw Error(ErrorCode::kInvalidRequest,
              "unknown log level '" + std::string(name) + "'; known: debug, info, warning, error");
}

}  // namespace millrace
