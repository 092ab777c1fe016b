#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace millrace::cli {

// The service's JSON, read into what is printed for people: of any shape, as it comes from another
// program. Pure functions.

// The member as printable text; "" if it is absent or null.
std::string Text(const nlohmann::json& object, const char* key);
// 0 if it is absent or no number.
double Number(const nlohmann::json& object, const char* key);
int64_t Whole(const nlohmann::json& object, const char* key);
// null if it is absent.
const nlohmann::json& Member(const nlohmann::json& object, const char* key);
// "2026-11-25T22:15:24Z" of the time in that member, without its fraction of a second.
std::string TimeText(const nlohmann::json& object, const char* key);

// The parts that are not empty, with `between` between them.
std::string Joined(const std::vector<std::string>& parts, const std::string& between);
// "  name        value\n"; "" if there is no value.
std::string Line(const std::string& name, const std::string& value);

}  // namespace millrace::cli
