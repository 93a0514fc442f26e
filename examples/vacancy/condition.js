// Fires when the heating should change: off when light and CO2 say that the room is empty and the phone or its planner
// says that its owner is away; on again when someone is back, for which a little more CO2 alone is no proof.
(event, source, type, ctx) => {
  const { light, co2 } = event.properties;
  const before = ctx.state.co2 ?? co2;
  ctx.state.co2 = before + 0.2 * (co2 - before);
  const dark = light < 200;
  const stale = co2 <= ctx.state.co2 + 5;
  const phone = ctx.last("phone", "presence");
  const planner = ctx.last("phone", "planner");
  const away = phone?.properties.here === false || planner?.properties.away === true;
  const heating = ctx.state.heating ?? null;
  ctx.state.wanted = heating === false ? !dark || !away : !(dark && stale && away);
  return ctx.state.wanted !== heating;
}
