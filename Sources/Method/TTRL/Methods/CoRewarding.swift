// Co-rewarding: a question and its rephrasing label each other, arXiv 2508.00410 ("Co-rewarding-I", the data side).
//
//   x' = another wording of x, with responses of its own
//   r_i  = 1[a_i = L(x')],   r'_i = 1[a'_i = L(x)];   0 without a label
//
// L is the vote of the other prompt's N samples. So a group never rewards itself: an answer that comes from the wording
// and not from the question is not rewarded, and agreement within a group is not enough. Both prompts are trained on,
// each with advantages of its own, so a step of B prompts costs what it costs without this. The paper lets a larger
// model rephrase; here the question file has both wordings (QuestionForms). Its model side (II), the vote of a slowly
// moving average of the policy, is not here: docs/decisions.md says why.

/// The group of the other wording.
///
/// - Parameters:
///   - place: of a group.
///   - forms: places of the two groups of its question.
func otherWording(of place: Int, among forms: [Int]) -> [Int] { forms.filter { $0 != place } }
