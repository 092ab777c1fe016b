#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/base/error.h"

namespace millrace::cli {

// Describes the service's answers for people. Each function takes JSON of docs/http-api.md, makes
// its text printable, and returns whole lines, unless it says otherwise.

// The sentence, the code, and a line for each wrong field.
std::string DescribeError(const Error& error);

std::string DescribeJob(const nlohmann::json& job);
// Describes how a job ended. `dead_letter` is its dead-letter folder, if that is on this machine.
std::string DescribeEnd(const nlohmann::json& job,
                        const std::optional<std::filesystem::path>& dead_letter);
// "video h264 1280x720 25 fps, audio aac 2 ch 44100 Hz, 0:10, 1.4 MB".
std::string DescribeFile(const nlohmann::json& file);
std::string DescribeMedia(const nlohmann::json& media);
// "QuickTime / MOV, 2.50 s, video h264 640x360, audio aac 2 ch", without a line feed.
std::string DescribeMediaInALine(const nlohmann::json& media);
std::string DescribeQueue(const nlohmann::json& queue);

std::string JobsTable(const nlohmann::json& jobs);
std::string PresetsTable(const nlohmann::json& presets);
std::string WorkersTable(const nlohmann::json& workers);

// Returns the dead-letter folder of a job if it is on this machine: in the data folder that
// MILLRACE_DATA_DIR names, or in ./millrace-data.
std::optional<std::filesystem::path> LocalDeadLetter(const std::string& job_id);

}  // namespace millrace::cli
