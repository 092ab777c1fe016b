#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/base/fields.h"

namespace millrace::api {

// Shared by the calls about dead letters. Free functions without state.

// Throws Error{kDeadLetterNotFound} for what cannot be the id of a job; otherwise returns {job} of
// the path.
const std::string& DeadJobIdOf(const http::Request& request);

std::string DeadLetterPath(const std::string& job_id);
// Turns the broker's view of a dead letter into the one that clients see: adds links, also to its
// files if it `has_files`.
nlohmann::json LetterWithLinks(nlohmann::json letter, bool has_files);
// Returns true if the broker has removed the letter's files, or is about to.
bool HasLeftNothing(const nlohmann::json& letter);
// Returns true if the folder with this report belongs to another generation of the job: a redriven
// job that is dying again has its new folder before its new letter.
bool IsOfAnotherGeneration(const nlohmann::json& letter, const nlohmann::json& report);

// Read a filter of dead letters: code, blame, signature, stage, worker, died_after, died_before.
// The first form reads parameters of a query, and `state` too; the second the members of an object.
// Record what is wrong. Return the filter in the broker's form.
nlohmann::json ReadLetterFilter(QueryReader& query);
nlohmann::json ReadLetterFilter(const nlohmann::json& filter, const std::string& pointer,
                                std::vector<FieldError>& errors);

// Reads the member `filter` of a request's body. It is required, so that a forgotten one does not
// mean all letters.
nlohmann::json ReadRequiredFilter(Fields& body, std::vector<FieldError>& errors);

// The patience of a call about many letters with a broker that is alive but busy.
inline constexpr std::chrono::seconds kPatienceForMany{30};

using LetterUser =
    std::function<void(const http::ResponderPtr& responder, const nlohmann::json& letter)>;
// Asks the broker for the newest letter of the job that the path names and gives it to `use` on a
// disk thread, which answers. An exception out of it becomes its problem.
void WithLetter(ApiContext& context, const http::ResponderPtr& responder, LetterUser use);

}  // namespace millrace::api
