#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace millrace::cli {

// Writes a command's result to standard output, and flushes it for readers of a pipe.
void Print(std::string_view text);
// Writes a path as a line, made printable if standard output is a terminal.
void PrintPath(const std::filesystem::path& path);
void PrintJson(const nlohmann::json& value);  // indented
// Writes a line about what happens meanwhile to standard error: "millrace: …".
void Tell(std::string_view text);

}  // namespace millrace::cli
