#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace millrace::cli {

// Reads the service's JSON for printing. Accepts any shape, as another program wrote the JSON. Pure
// functions.

// The member as printable text; "" if it is absent or null.
std::string Text(const nlohmann::json& object, const char* key);
// The member as a number; 0 if it is absent or no number.
double Number(const nlohmann::json& object, const char* key);
int64_t Whole(const nlohmann::json& object, const char* key);
// The member as it is; null if it is absent.
const nlohmann::json& Member(const nlohmann::json& object, const char* key);
// The member's time without its fraction of a second: "2026-11-25T22:15:24Z".
std::string TimeText(const nlohmann::json& object, const char* key);

// Joins the parts that are not empty with `between`.
std::string Joined(const std::vector<std::string>& parts, const std::string& between);
// "  name        value\n"; "" if there is no value.
std::string Line(const std::string& name, const std::string& value);

}  // namespace millrace::cli
