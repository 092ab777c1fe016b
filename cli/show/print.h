#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace millrace::cli {

// A command's result, on standard output and at once: who reads it through a pipe waits for it.
void Print(std::string_view text);
// A path as a line: as it is, or printable where a terminal shows it.
void PrintPath(const std::filesystem::path& path);
void PrintJson(const nlohmann::json& value);  // indented
// What happens meanwhile, as a line on standard error: "millrace: …".
void Tell(std::string_view text);

}  // namespace millrace::cli
