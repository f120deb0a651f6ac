"""`authsvc user …`: accounts from the command line, through the same flows, rules and audit as the API."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace

from authsvc.cli.acts import Act, Acts, on_core
from authsvc.events import CLI
from authsvc.flows import directory, enrolment, login, passwords, registration, removal, users
from authsvc.flows.core import Core
from authsvc.flows.users import Account, NewUser
from authsvc.handlers import fields
from authsvc.primitives.ids import USER, is_id
from authsvc.problems import Invalid, Problem
from authsvc.rules.access import EVERYTHING
from authsvc.store.users import ACTIVE, DISABLED


def _of_an_account(act: ArgumentParser) -> None:
    act.add_argument("account", metavar="EMAIL|ID")


def _of_a_new_one(act: ArgumentParser) -> None:
    act.add_argument("account", metavar="EMAIL")
    act.add_argument("--role", action="append", default=[], metavar="NAME")
    act.add_argument("--name")
    act.add_argument("--if-absent", action="store_true", help="if the account exists, only grant it the roles")
    _of_a_password(act)


def _of_a_password(act: ArgumentParser) -> None:
    act.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _of_an_account_and_a_password(act: ArgumentParser) -> None:
    _of_an_account(act)
    _of_a_password(act)


def _of_an_account_and_a_role(act: ArgumentParser) -> None:
    _of_an_account(act)
    act.add_argument("name_of_role", metavar="ROLE")


def _of_a_search(act: ArgumentParser) -> None:
    act.add_argument("--q", metavar="TEXT", help="the beginning of an address or name, a whole number or id")


def _create(core: Core, arguments: Namespace) -> None:
    email = fields.email(arguments.account)
    known = users.find_by_email(core, email) if arguments.if_absent else None
    if known:
        _show(users.change_roles(core, known.user.id, CLI, grant=arguments.role), arguments)
        return
    password = _password_from_stdin() if arguments.password_stdin else None
    name = None if arguments.name is None else fields.name(arguments.name)
    account, generated = registration.create(core, NewUser(email, name=name, roles=arguments.role), password, CLI, EVERYTHING)
    _show(account, arguments, generated)


def _list(core: Core, arguments: Namespace) -> None:
    found = users.every(core) if arguments.q is None else directory.every(core, directory.wanted(arguments.q))
    for account in found:
        _show(account, arguments, brief=True)


def _show_one(core: Core, arguments: Namespace) -> None:
    _show(_find(core, arguments.account), arguments)


def _disable(core: Core, arguments: Namespace) -> None:
    _show(users.set_status(core, _find(core, arguments.account).user.id, DISABLED, CLI), arguments)


def _enable(core: Core, arguments: Namespace) -> None:
    _show(users.set_status(core, _find(core, arguments.account).user.id, ACTIVE, CLI), arguments)


def _delete(core: Core, arguments: Namespace) -> None:
    account = _find(core, arguments.account)
    removal.delete(core, account.user.id, CLI, EVERYTHING)
    print(json.dumps({"deleted": account.user.id}) if arguments.json else f"deleted {account.user.id}")


def _set_password(core: Core, arguments: Namespace) -> None:
    account = _find(core, arguments.account)
    generated = None if arguments.password_stdin else passwords.generated(core)
    login.set_password(core, account.user, generated or _password_from_stdin(), CLI)
    _show(account, arguments, generated)


def _reset_factors(core: Core, arguments: Namespace) -> None:
    removed = enrolment.reset(core, _find(core, arguments.account).user, CLI)
    print(json.dumps({"removed": removed}) if arguments.json else f"removed {removed} factors")


def _grant(core: Core, arguments: Namespace) -> None:
    _show(users.change_roles(core, _find(core, arguments.account).user.id, CLI, grant=[arguments.name_of_role]), arguments)


def _ungrant(core: Core, arguments: Namespace) -> None:
    _show(users.change_roles(core, _find(core, arguments.account).user.id, CLI, ungrant=[arguments.name_of_role]), arguments)


ACTS: Acts = {
    "create": Act("make an account; without a password one is generated and shown once", on_core(_create), _of_a_new_one),
    "list": Act("the accounts, or those that a search finds", on_core(_list), _of_a_search),
    "show": Act("one account", on_core(_show_one), _of_an_account),
    "disable": Act("end all sessions, and let nobody in", on_core(_disable), _of_an_account),
    "enable": Act("let the owner in again", on_core(_enable), _of_an_account),
    "delete": Act("delete an account with all that hangs on it", on_core(_delete), _of_an_account),
    "set-password": Act("set a password, or generate one, and end all sessions", on_core(_set_password), _of_an_account_and_a_password),
    "reset-factors": Act("remove all second factors, for somebody who lost theirs", on_core(_reset_factors), _of_an_account),
    "grant": Act("give an account a role", on_core(_grant), _of_an_account_and_a_role),
    "ungrant": Act("take a role from an account", on_core(_ungrant), _of_an_account_and_a_role),
}


def _find(core: Core, account: str) -> Account:
    """By e-mail address or id."""
    found = users.find(core, account) if is_id(account, USER) else users.find_by_email(core, fields.email(account))
    if found is None:
        raise Problem("not_found", f"There is no account {account}.")
    return found


def _password_from_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Invalid("required", "Give the password on standard input, as one line.")
    return fields.password(password)


def _show(account: Account, arguments: Namespace, password: str | None = None, *, brief: bool = False) -> None:
    seen = users.public(account.user, account.all_roles, account.caps)
    if password:
        seen["password"] = password
    if arguments.json:
        print(json.dumps(seen))
    elif brief:
        print(f"{seen['id']}  {seen['status']:8}  {','.join(seen['roles']):12}  {seen['email']}")
    else:
        for name in ("id", "email", "name", "status", "roles", "created_at", "last_login_at", "password"):
            if seen.get(name):
                print(f"{name}: {', '.join(seen[name]) if name == 'roles' else seen[name]}")
