#pragma once

#include <string_view>

namespace millrace {

// How deep the arrays and objects of a JSON text are nested: 0 for a number, 1 for `[]`. Counted
// before parsing: copying and printing a document go as deep as it does, and so must not be asked
// to by a stranger. Of what is not JSON the answer means nothing, but is no less than what a parser
// would reach.
int JsonDepth(std::string_view text);

}  // namespace millrace
