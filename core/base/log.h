#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace millrace {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Writes one JSON object a line on standard error: time, level, program, message, and the given
// fields. Thread-safe. Fields are for filtering (job, task, fence, worker) and hold no secrets.
//
// StartLog sets the program's name and the lowest level. Call it once, before threads start.
void StartLog(std::string_view program, LogLevel lowest);

void Log(LogLevel level, std::string_view message,
         const nlohmann::json& fields = nlohmann::json::object());

inline void LogDebug(std::string_view message,
                     const nlohmann::json& fields = nlohmann::json::object()) {
  Log(LogLevel::kDebug, message, fields);
}
inline void LogInfo(std::string_view message,
                    const nlohmann::json& fields = nlohmann::json::object()) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarning(std::string_view message,
                       const nlohmann::json& fields = nlohmann::json::object()) {
  Log(LogLevel::kWarning, message, fields);
}
inline void LogError(std::string_view message,
                     const nlohmann::json& fields = nlohmann::json::object()) {
  Log(LogLevel::kError, message, fields);
}

// Throws Error{kInvalidRequest} for a name other than debug, info, warning, error.
LogLevel LogLevelFromName(std::string_view name);

}  // namespace millrace
