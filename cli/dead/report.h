#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace millrace::cli {

// Describes dead letters for people. Each function takes JSON of docs/http-api.md and returns whole
// lines. `columns` is the terminal's width, to which the last column of a table is cut; nullopt
// cuts nothing.

std::string DeadLettersTable(const nlohmann::json& letters, std::optional<int> columns);
std::string DeadGroupsTable(const nlohmann::json& groups, std::optional<int> columns);

// Describes one letter in full: the failure and who must act, the attempts, the files, how to
// repeat it, and what can be done. `folder` is its dead-letter folder, if that is on this machine.
std::string DescribeDeadLetter(const nlohmann::json& letter,
                               const std::optional<std::filesystem::path>& folder,
                               std::optional<int> columns);

}  // namespace millrace::cli
