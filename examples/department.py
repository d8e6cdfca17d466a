"""An application that sorts messages with its LLM; with Shoal in between, nothing in it changes.

    pip install openai
    shoal serve                # with a model of the name below in shoal.toml
    python examples/department.py "My parcel never arrived" --model echo

The last line printed is the receipt: who answered, and why.
"""

import argparse

from openai import OpenAI

PROMPT = (
    "Which department handles the customer's message? Answer with one word: returns, delivery, "
    "payments or advice."
)


def main() -> None:
    """Ask once, and show the receipt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("message")
    parser.add_argument("--model", default="gpt-4o-mini")
    parser.add_argument("--base-url", default="http://127.0.0.1:8400/v1")
    asked = parser.parse_args()
    client = OpenAI(base_url=asked.base_url, api_key="none-needed")
    reply = client.chat.completions.with_raw_response.create(
        model=asked.model,
        messages=[
            {"role": "system", "content": PROMPT},
            {"role": "user", "content": asked.message},
        ],
    )
    print(reply.parse().choices[0].message.content)
    print({name: reply.headers[name] for name in reply.headers if name.startswith("x-shoal-")})


if __name__ == "__main__":
    main()
