// The monitor's token, which lets its holder act on runs. Asked for once, kept until the tab is closed, sent in a header
// to the monitor and put nowhere else.

import { post } from "./api.js";
import { ask } from "./dialog.js";

const TOKEN = "trainguard-token";
const NAME = "trainguard-by";

/**
 * Tell the monitor something as the holder of the token, who is asked for it where it is not known. Gives the answer, or
 * null where the visitor would not say. Raises `ApiError`; a token that is not right is forgotten.
 */
export async function tell(path, body) {
  const token = sessionStorage.getItem(TOKEN) ?? (await askForToken());
  if (!token) return null;
  try {
    return await post(path, { ...body, by: sessionStorage.getItem(NAME) || "status page" }, token);
  } catch (error) {
    if (error.status === 401) sessionStorage.removeItem(TOKEN);
    throw error;
  }
}

async function askForToken() {
  const answer = await ask({
    title: "Token",
    text: "Acting on a run takes the token from the file that the monitor was started with (--token-file). It is kept until this tab is closed.",
    fields: [
      { name: "token", label: "Token", type: "password", required: true },
      { name: "by", label: "Your name", value: sessionStorage.getItem(NAME) ?? "", help: "For the record: it stands beside what you order.", maxlength: 200 },
    ],
    yes: "Continue",
  });
  if (!answer?.token.trim()) return null;
  sessionStorage.setItem(NAME, answer.by.trim());
  sessionStorage.setItem(TOKEN, answer.token.trim());
  return answer.token.trim();
}
