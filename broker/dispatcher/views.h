#pragma once

#include <nlohmann/json.hpp>

#include "broker/dispatcher/state.h"

namespace millrace::broker {

// The body of the `queue` reply, without the fields that only the ledger and the janitor know
// (`dead_letters`, `janitor`).
nlohmann::json QueueView(const DispatcherState& state, Now now);
// The body of the `workers` reply.
nlohmann::json WorkersView(const DispatcherState& state, Now now);

}  // namespace millrace::broker
