# SPDX-License-Identifier: Apache-2.0
"""A LangGraph agent with one tool. usage: langgraph_agent.py MODEL_URL QUESTION"""

import subprocess
import sys

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI


def shell(command: str) -> str:
	"""Runs a shell command and returns what it prints."""
	done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
	return done.stdout + done.stderr


url, question = sys.argv[1:]
agent = create_agent(ChatOpenAI(model="scripted", base_url=url, api_key="unused"), [shell])
print(agent.invoke({"messages": [("user", question)]})["messages"][-1].content)
