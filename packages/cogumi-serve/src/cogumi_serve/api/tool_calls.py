"""OpenAI-style tools on the text form that models are trained on (`cogumi_core.formats.tools`).

Left out: several calls in one answer, and a model that chooses between calling and talking; given tools, it calls one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cogumi_core import JSON, GenerateRequest, InputError
from cogumi_core.formats.tools import call_schema, with_tools


def functions_of(tools: JSON) -> list[Mapping[str, JSON]]:
    """The functions in OpenAI's list of tools; bare functions are taken too. Raises InputError naming the entry."""
    if not isinstance(tools, list) or not tools:
        message = "tools: a list of at least one function is expected"
        raise InputError(message)
    functions = [_function(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    names = [function["name"] for function in functions]
    if len(set(names)) < len(names):
        message = f"tools: two functions have the same name ({', '.join(names)})"
        raise InputError(message)
    return functions


def _function(tool: JSON, where: str) -> Mapping[str, JSON]:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        message = f'{where}: {{"type": "function", "function": {{"name", "description", "parameters"}}}} is expected'
        raise InputError(message)
    parameters = function.get("parameters", {})
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties", {}), dict):
        message = f"{where}: 'parameters' must be a JSON schema of an object"
        raise InputError(message)
    if not all(isinstance(spec, dict) for spec in parameters.get("properties", {}).values()):
        message = f"{where}: each of 'parameters.properties' must be a JSON schema object"
        raise InputError(message)
    return function


def calling(request: GenerateRequest, functions: Sequence[Mapping[str, JSON]], only: str | None = None) -> GenerateRequest:
    """`request` with the functions described to the model and its answer constrained to one call; `only`: of this function."""
    allowed = [function for function in functions if only in (None, function["name"])]
    if not allowed:
        message = f"tool_choice: there is no function '{only}' among the tools"
        raise InputError(message)
    return replace(request, messages=with_tools(request.messages, functions), schema=call_schema(allowed))
