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

// What the calls about dead letters have in common. Free functions without state.

// Throws Error{kDeadLetterNotFound} for what cannot be the id of a job; otherwise returns {job} of
// the path.
const std::string& DeadJobIdOf(const http::Request& request);

std::string DeadLetterPath(const std::string& job_id);
// A dead letter as clients see it, from the broker's: with links to what there is of it, and to its
// files if it `has_files`.
nlohmann::json LetterWithLinks(nlohmann::json letter, bool has_files);
// Whether the broker has removed its files, or is about to.
bool HasLeftNothing(const nlohmann::json& letter);
// Whether the folder that has this report is one of another generation of the job: a redriven job
// that is dying again has its new folder before its new letter.
bool IsOfAnotherGeneration(const nlohmann::json& letter, const nlohmann::json& report);

// Which dead letters: code, blame, signature, stage, worker, died_after, died_before. The first
// form reads parameters of a query, and `state` too; the second the members of an object. What is
// wrong is recorded. Returns a filter as the broker takes it.
nlohmann::json ReadLetterFilter(QueryReader& query);
nlohmann::json ReadLetterFilter(const nlohmann::json& filter, const std::string& pointer,
                                std::vector<FieldError>& errors);

// Member `filter` of a request's body, which must be there: one that was forgotten must not mean
// all.
nlohmann::json ReadRequiredFilter(Fields& body, std::vector<FieldError>& errors);

// How long a call about many letters may take a broker that is there.
inline constexpr std::chrono::seconds kPatienceForMany{30};

using LetterUser =
    std::function<void(const http::ResponderPtr& responder, const nlohmann::json& letter)>;
// Asks the broker for the newest letter of the job that the path names and gives it to `use` on a
// disk thread, which answers. An exception out of it becomes its problem.
void WithLetter(ApiContext& context, const http::ResponderPtr& responder, LetterUser use);

}  // namespace millrace::api
