/**
 * The commands that the page offers, and which values they take (src/config/parameter.rs, src/authorize/parameters.rs). In: the
 * page's data, which the gateway's sysadmin made. Out: whether a value fits. The gateway decides again; this only helps to type.
 */

/**
 * @typedef {{ name: string, kind: 'one_of', values: string[], default?: string, optional?: boolean, secret?: boolean }
 *   | { name: string, kind: 'integer', min: string, max: string, default?: string, optional?: boolean, secret?: boolean }
 *   | { name: string, kind: 'pattern', pattern: string, test: string | null, max_length: number, default?: string, optional?: boolean,
 *     secret?: boolean }} Parameter
 * @typedef {{ name: string, summary: string, parameters: Parameter[], permits: Record<string, string[]>[],
 *   payload?: { max: number, required: boolean }, approval?: { by?: string, reason: boolean } }} Command
 *   `permits`: for each role of the user, the values that it may give; any value for a parameter that is not named
 * @typedef {{ version: number, gateway: string, address: string, user: string | null, from: string | null, max_file: number,
 *   commands: Command[], ssh?: { always: boolean, commands: string[], approvals: string[] } }} PageData
 *   `ssh`: what needs an SSH signature, which a browser cannot make: all that the user signs, or these commands and approvals of them
 */

/**
 * Whether `value` is one of the parameter's type.
 * @param {Parameter} parameter @param {string} value
 */
export function accepts(parameter, value) {
  switch (parameter.kind) {
    case 'one_of':
      return parameter.values.includes(value);
    case 'integer':
      return /^(?:0|-?[1-9]\d{0,18})$/.test(value) && BigInt(value) >= BigInt(parameter.min) && BigInt(value) <= BigInt(parameter.max);
    default:
      if (Array.from(value).length > parameter.max_length) return false;
      // Without an expression that JavaScript reads as the gateway does, the gateway alone decides.
      return parameter.test === null || new RegExp(`^(?:${parameter.test})$`, 'u').test(value);
  }
}

/**
 * The values to choose from, or null if any value of the type may be given.
 * @param {Command} command @param {Parameter} parameter
 */
export function choices(command, parameter) {
  if (command.permits.some((role) => !(parameter.name in role))) return parameter.kind === 'one_of' ? parameter.values : null;
  const given = command.permits.flatMap((role) => role[parameter.name]);
  return given.filter((value, at) => given.indexOf(value) === at);
}

/**
 * Whether one role permits all these values together.
 * @param {Command} command @param {Map<string, string>} values
 */
export function permitted(command, values) {
  return command.permits.some((role) => Object.entries(role).every(([name, given]) => given.includes(values.get(name) ?? '')));
}

/**
 * The data in the page; null if the page holds none, as the file that no gateway has filled in.
 * @param {string} json @returns {PageData | null}
 */
export function readPageData(json) {
  try {
    const data = JSON.parse(json);
    return data && data.version === 1 ? data : null;
  } catch {
    return null;
  }
}
