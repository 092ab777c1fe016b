#pragma once

#include <string_view>

namespace millrace {

// Returns how deep the arrays and objects of a JSON text are nested: 0 for a number, 1 for `[]`.
// Call it before parsing text of a stranger: copying and printing a document recurse as deep as it
// is nested. For malformed text the result is at least the depth that a parser would reach.
int JsonDepth(std::string_view text);

}  // namespace millrace
