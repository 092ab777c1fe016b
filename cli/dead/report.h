#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace millrace::cli {

// Dead letters in words for people; each takes the JSON of docs/http-api.md and returns whole
// lines. `columns` is the width of the terminal, to which the last column of a table is cut;
// nullopt: nothing is cut.

std::string DeadLettersTable(const nlohmann::json& letters, std::optional<int> columns);
std::string DeadGroupsTable(const nlohmann::json& groups, std::optional<int> columns);

// All about one: what failed and who must act, the attempts, the files, how to repeat it, and what
// can be done. `folder` is where its folder lies, if that is on this machine.
std::string DescribeDeadLetter(const nlohmann::json& letter,
                               const std::optional<std::filesystem::path>& folder,
                               std::optional<int> columns);

}  // namespace millrace::cli
